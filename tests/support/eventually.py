"""Wait for something to become true."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def eventually(question: Callable[[], T], answer: Callable[[T], bool] | object = bool, within: float = 10.0) -> T:
    """Ask until the answer is right and return it; fail after ``within`` seconds, showing the last answer.

    ``answer`` is a predicate or the expected value; by default anything true will do. Exceptions of the question pass through.
    """
    deadline = time.monotonic() + within
    pause = 0.005
    while True:
        last = question()
        if answer(last) if callable(answer) else last == answer:
            return last
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within} s; the last answer was {last!r}")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.1)
