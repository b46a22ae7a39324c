from collections.abc import Iterator
from datetime import timedelta
from threading import Event

import pytest

from app.engine.errors import TransientError
from app.engine.shared_reading import NoAnswer, SharedReading


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

    assert [shared.read() for _ in range(20)] == [1] * 20
    clock.now = 1.0
    assert shared.read() == 2


def test_a_source_that_hangs_costs_one_thread_and_patience(source: Source) -> None:
    source.may_answer.clear()
    clock = Clock()
    shared = SharedReading(source.read, patience=timedelta(milliseconds=10), clock=clock)

    for clock.now in (0.0, 5.0, 10.0):
        with pytest.raises(NoAnswer, match=r"No answer within 0\.01 seconds"):
            shared.read()

    assert source.reads == 1


def test_an_answer_that_took_longer_than_it_may_be_old_is_heard(source: Source) -> None:
    source.may_answer.clear()
    clock = Clock()
    shared = SharedReading(source.read, max_age=timedelta(seconds=1), patience=timedelta(seconds=3), clock=clock)
    reading = shared.begin()

    clock.now = 2.5
    source.may_answer.set()
    assert shared.wait(reading) == 1

    assert shared.read() == 1
    clock.now = 3.5
    assert shared.read() == 2


@pytest.mark.parametrize("problem", [TransientError("Could not read the queues: refused"), ZeroDivisionError()])
def test_what_the_source_raises_reaches_whoever_asked(problem: Exception) -> None:
    def refuse() -> int:
        raise problem

    with pytest.raises(type(problem)):
        SharedReading(refuse).read()
