"""One slow source, many people who look."""

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from threading import Lock
from typing import Generic, TypeVar

from app.console.overview import Section
from app.engine.errors import EngineError

T = TypeVar("T")


class SharedReading(Generic[T]):
    """Reads a source on a thread of its own, and gives everyone who asks within ``max_age`` the same answer.

    A source that hangs costs whoever asks ``patience``, and the process one thread, however many ask.
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
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="console-reading")
        self._begun_at = 0.0
        self._current: Future[T] | None = None

    def begin(self) -> "Future[T]":
        """Start to read, or join the reading that is under way or still fresh. Returns at once."""
        with self._lock:
            now = self._clock()
            if self._current is None or (self._current.done() and now - self._begun_at >= self._max_age.total_seconds()):
                self._begun_at = now
                self._current = self._thread.submit(self._read)
            return self._current

    def section(self, reading: "Future[T]") -> Section[T]:
        """Wait for what ``begin`` returned. What the engine raises on purpose becomes the section's error."""
        try:
            return Section(data=reading.result(self._patience.total_seconds()))
        except TimeoutError:
            return Section(error=f"No answer within {self._patience.total_seconds():g} seconds.")
        except EngineError as error:
            return Section(error=str(error) or type(error).__name__)
