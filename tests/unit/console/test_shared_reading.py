from collections.abc import Iterator
from datetime import timedelta
from threading import Event

import pytest

from app.console.shared_reading import SharedReading
from app.engine.errors import TransientError


class Source:
    def __init__(self) -> None:
        self.reads = 0
        self.may_answer = Event()
        self.may_answer.set()

    def read(self) -> int:
        self.reads += 1
        self.may_answer.wait(10)
        return self.reads


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def source() -> Iterator[Source]:
    source = Source()
    yield source
    source.may_answer.set()


def test_everyone_within_max_age_gets_the_same_answer(source: Source) -> None:
    clock = Clock()
    shared = SharedReading(source.read, max_age=timedelta(seconds=1), clock=clock)

    assert [shared.section(shared.begin()).data for _ in range(20)] == [1] * 20
    clock.now = 1.0
    assert shared.section(shared.begin()).data == 2


def test_a_source_that_hangs_costs_one_thread_and_patience(source: Source) -> None:
    source.may_answer.clear()
    clock = Clock()
    shared = SharedReading(source.read, patience=timedelta(milliseconds=10), clock=clock)

    sections = []
    for clock.now in (0.0, 5.0, 10.0):
        sections.append(shared.section(shared.begin()))

    assert [section.error for section in sections] == ["No answer within 0.01 seconds."] * 3
    assert source.reads == 1


def test_the_engines_errors_become_the_sections() -> None:
    def refuse() -> int:
        raise TransientError("Could not read the queues: refused")

    shared = SharedReading(refuse)

    assert shared.section(shared.begin()).error == "Could not read the queues: refused"


def test_a_bug_is_not_swallowed() -> None:
    def stumble() -> int:
        raise ZeroDivisionError

    shared = SharedReading(stumble)

    with pytest.raises(ZeroDivisionError):
        shared.section(shared.begin())
