"""One slow source, many people who look."""

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from threading import Lock
from typing import Generic, TypeVar

from app.engine.errors import TransientError

T = TypeVar("T")


class NoAnswer(TransientError):
    """A source took longer than anybody may be kept waiting."""


class SharedReading(Generic[T]):
    """Reads a source on a thread of its own, and gives everyone who asks within ``max_age`` of its answer the same one.

    A source that hangs costs whoever asks ``patience``, and the process one thread, however many ask. One that needs longer than
    that is heard all the same: by whoever asks next.
    """

    def __init__(
        self,
        read: Callable[[], T],
        *,
        max_age: timedelta = timedelta(seconds=1),
        patience: timedelta = timedelta(seconds=2),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read = read
        self._max_age = max_age
        self._patience = patience
        self._clock = clock
        self._lock = Lock()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="shared-reading")
        self._answered_at = 0.0
        self._current: Future[T] | None = None

    def begin(self) -> "Future[T]":
        """Start to read, or join the reading that is under way or still fresh. Returns at once."""
        with self._lock:
            if self._current is None or (self._current.done() and self._clock() - self._answered_at >= self._max_age.total_seconds()):
                self._current = self._thread.submit(self._read_now)
            return self._current

    def _read_now(self) -> T:
        try:
            return self._read()
        finally:
            # Not when it was asked: an answer that took longer than it may be old would be thrown away by each who asks, for ever.
            self._answered_at = self._clock()

    def wait(self, reading: "Future[T]") -> T:
        """The answer of what ``begin`` returned. Raises :class:`NoAnswer`, or what the source raised."""
        try:
            return reading.result(self._patience.total_seconds())
        except TimeoutError as error:
            raise NoAnswer(f"No answer within {self._patience.total_seconds():g} seconds.") from error

    def read(self) -> T:
        return self.wait(self.begin())
