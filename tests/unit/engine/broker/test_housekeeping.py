"""The thread that looks after what a worker holds does not die, and does not forget."""

import itertools
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from app.engine.broker import housekeeping as module
from app.engine.broker.housekeeping import Housekeeping
from tests.support.eventually import eventually


class Counter:
    def __init__(self) -> None:
        self.count = 0
        self.error: Exception | None = None

    def __call__(self) -> None:
        self.count += 1
        if self.error is not None:
            raise self.error


Make = Callable[..., Housekeeping]


@pytest.fixture
def make() -> Iterator[Make]:
    made: list[Housekeeping] = []

    def housekeeping(*duties: Callable[[], object], pause: Callable[[], float] = lambda: 0.001) -> Housekeeping:
        made.append(Housekeeping(duties, pause))
        made[-1].start()
        return made[-1]

    yield housekeeping
    for one in made:
        one.end()


def test_duties_are_done_again_and_again(make: Make) -> None:
    first, second = Counter(), Counter()

    make(first, second)

    eventually(lambda: min(first.count, second.count) >= 3)


def test_a_duty_that_fails_is_logged_and_keeps_no_other_from_theirs_nor_itself_from_the_next_turn(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    failing, other = Counter(), Counter()
    failing.error = ValueError("no")

    make(failing, other)

    eventually(lambda: min(failing.count, other.count) >= 3)
    assert "housekeeping: unexpected error, going on" in caplog.messages


def test_who_cannot_say_how_long_to_pause_does_not_end_it(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LONGEST_PAUSE_SECONDS", 0.001)

    def pause() -> float:
        raise ValueError("no")

    duty = Counter()
    make(duty, pause=pause)

    eventually(lambda: duty.count >= 3)


def test_a_pause_is_never_so_long_that_a_silent_queue_goes_unnoticed(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LONGEST_PAUSE_SECONDS", 0.001)
    duty = Counter()
    make(duty, pause=lambda: 3600)

    eventually(lambda: duty.count >= 3)


def test_an_order_is_done_at_once_in_the_thread_of_the_duties_and_may_fail(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    done: list[str] = []
    duty = Counter()
    housekeeping = make(duty, pause=lambda: 3600)
    eventually(lambda: duty.count, 1)

    def fail() -> None:
        raise ValueError("no")

    housekeeping.soon(fail)
    housekeeping.soon(lambda: done.append(threading.current_thread().name))

    eventually(lambda: done, ["sqs-housekeeping"], within=1)
    assert "housekeeping: unexpected error, going on" in caplog.messages


def test_a_signal_handler_may_interrupt_an_order_to_give_one(make: Make) -> None:
    orders = Counter()
    housekeeping = make(pause=lambda: 3600)
    given = itertools.count()
    interruptions: list[int] = []

    def interrupt(*_: Any) -> None:
        interruptions.append(next(given))
        housekeeping.soon(orders)

    previous = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
        while len(interruptions) < 20:
            next(given)
            housekeeping.soon(orders)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)

    eventually(lambda: orders.count, next(given))


def test_what_was_ordered_before_the_end_is_done_and_after_it_nothing(make: Make) -> None:
    before, duty = Counter(), Counter()
    housekeeping = make(duty)
    for _ in range(10):
        housekeeping.soon(before)

    housekeeping.end()
    done = duty.count
    housekeeping.soon(before)
    housekeeping.end()

    assert not housekeeping._thread.is_alive()
    assert (before.count, duty.count) == (10, done)


def test_the_thread_may_end_itself(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    housekeeping = make()

    housekeeping.soon(housekeeping.end)

    eventually(housekeeping._thread.is_alive, False)
    assert caplog.messages == []
