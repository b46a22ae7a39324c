"""Failures in a row, and how long to wait because of them."""

import random
from collections.abc import Callable

#: Never silent for longer, so that a healed SQS is noticed within seconds.
LONGEST_PAUSE_SECONDS = 5.0


class Backoff:
    """Exponential with full jitter, so that workers do not return in step.

    Source: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
    """

    def __init__(self, draw: Callable[[float, float], float] = random.uniform, *, longest_seconds: float = LONGEST_PAUSE_SECONDS) -> None:
        self._draw = draw
        self._longest_seconds = longest_seconds
        self._in_a_row = 0

    def failed(self) -> bool:
        """Count one more; true for the first of a row, which is the one to log."""
        self._in_a_row += 1
        return self._in_a_row == 1

    def succeeded(self) -> bool:
        """End the row; true if there was one."""
        was_failing, self._in_a_row = self._in_a_row > 0, 0
        return was_failing

    @property
    def pause_seconds(self) -> float:
        if not self._in_a_row:
            return 0.0
        return self._draw(0.05, min(self._longest_seconds, 0.25 * 2.0 ** min(self._in_a_row, 10)))
