"""Who waits for the database hears that it answers again."""

import threading
from collections import Counter

import pytest

from app.engine.database import DatabaseWatch
from tests.support.eventually import eventually


def _wait(event: threading.Event) -> None:
    event.wait(0.01)


def test_each_waiter_is_called_once_when_the_database_answers_and_both_changes_are_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    may_answer = threading.Event()
    called: Counter[str] = Counter()
    watch = DatabaseWatch(lambda: None if may_answer.is_set() else "refused", sleep=lambda _: _wait(may_answer))
    for _ in range(3):
        for waiter in ("one", "other"):
            watch.report("refused", waiter, lambda waiter=waiter: called.update([waiter]))  # type: ignore[misc]
    assert called == Counter()

    may_answer.set()

    eventually(lambda: called, Counter(one=1, other=1))
    assert [line for line in caplog.messages if line.startswith("database")] == ["database is away", "database answers again"]


def test_it_can_be_away_again() -> None:
    called: list[int] = []
    watch = DatabaseWatch(lambda: None)

    for number in range(3):
        watch.report("cut", "one", lambda number=number: called.append(number))  # type: ignore[misc]
        eventually(lambda number=number: number in called, bool)  # type: ignore[misc]

    assert called == [0, 1, 2]


def test_pauses_grow_up_to_a_limit() -> None:
    pauses: list[float] = []
    answers = iter(["refused"] * 40)
    done = threading.Event()
    watch = DatabaseWatch(lambda: next(answers, None), sleep=pauses.append)

    watch.report("refused", "one", done.set)

    assert done.wait(5)
    assert len(pauses) == 40
    assert max(pauses) <= 5


def test_a_probe_with_a_mistake_leaves_nobody_waiting_for_ever(caplog: pytest.LogCaptureFixture) -> None:
    done = threading.Event()

    def mistake() -> None:
        raise KeyError("alias")

    DatabaseWatch(mistake).report("refused", "one", done.set)

    assert done.wait(5)
    assert "database not probed, taken to answer" in caplog.messages


def test_a_waiter_that_cannot_bear_it_keeps_no_other_from_hearing() -> None:
    done = threading.Event()
    may_answer = threading.Event()
    watch = DatabaseWatch(lambda: None if may_answer.wait(5) else "refused")

    def fail() -> None:
        raise KeyError("gone")

    watch.report("refused", "one", fail)
    watch.report("refused", "other", done.set)
    may_answer.set()

    assert done.wait(5)
