"""Signals that come in the middle of a turn."""

import signal
import time
from collections.abc import Callable, Iterator
from types import FrameType

import pytest

from app.engine.schedules import stopping
from app.engine.schedules.stopping import StopSignals


@pytest.fixture(params=stopping.SIGNALS)
def number(request: pytest.FixtureRequest) -> Iterator[int]:
    """A signal with a handler like that of Celery's beat."""

    def celerys(_number: int, _frame: FrameType | None) -> None:
        raise SystemExit

    before = {each: signal.signal(each, celerys) for each in stopping.SIGNALS} | {signal.SIGALRM: signal.getsignal(signal.SIGALRM)}
    yield request.param
    signal.setitimer(signal.ITIMER_REAL, 0)
    for each, handler in before.items():
        signal.signal(each, handler)


def test_a_signal_outside_of_a_turn_ends_beat_at_once(number: int) -> None:
    signals = StopSignals()
    signals.install()

    with pytest.raises(SystemExit):
        signal.raise_signal(number)


def turn(signals: StopSignals, number: int, rest: Callable[[], object]) -> None:
    """A turn that is told to stop twice, and has something left to do."""
    with signals.waiting():
        signal.raise_signal(number)
        signal.raise_signal(number)
        rest()


def test_a_turn_is_finished_before_beat_ends(number: int) -> None:
    signals, done = StopSignals(), []
    signals.install()

    with pytest.raises(SystemExit):
        turn(signals, number, lambda: done.append("the rest of the turn"))

    assert done
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)


def test_an_error_of_the_last_turn_does_not_keep_beat(number: int) -> None:
    signals = StopSignals()
    signals.install()

    def cancelled() -> None:
        raise ValueError("the query was cancelled")

    with pytest.raises(SystemExit):
        turn(signals, number, cancelled)


def test_a_turn_that_hangs_is_interrupted(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stopping, "CANCEL_AGAIN_SECONDS", 0.01)
    signals = StopSignals()
    signals.install()
    begin = time.monotonic()

    with pytest.raises(SystemExit):
        turn(signals, number, lambda: time.sleep(30))
    assert time.monotonic() - begin < 30


def test_a_turn_without_a_signal_ends_nothing(number: int) -> None:
    signals = StopSignals()
    signals.install()

    with signals.waiting():
        pass
    with pytest.raises(SystemExit):
        signal.raise_signal(number)
