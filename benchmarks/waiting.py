"""Wait for something to become true in another process."""

import time
from collections.abc import Callable
from datetime import timedelta

_PAUSE_SECONDS = 0.02


class TookTooLong(RuntimeError):
    """Raised when what a scenario relies on does not come about."""


def wait_until(question: Callable[[], bool], within: timedelta, what: str) -> None:
    """Ask until the answer is yes; raise after ``within``."""
    if not came_true(question, within):
        raise TookTooLong(f"Not within {within.total_seconds():.0f} s: {what}")


def came_true(question: Callable[[], bool], within: timedelta) -> bool:
    """Ask until the answer is yes, or until it is too late."""
    deadline = time.monotonic() + within.total_seconds()
    while not question():
        if time.monotonic() > deadline:
            return False
        time.sleep(_PAUSE_SECONDS)
    return True
