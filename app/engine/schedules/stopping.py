"""Told to stop in the middle of a turn.

Celery's handler raises ``SystemExit`` wherever the signal finds the main thread. Between the taking of a lock and the ``with`` that
would release it, that leaves the lock held, and beat waits for it at its exit until it is killed. So during a turn the exception waits
for the end of the turn, and the query that the turn may hang in is cancelled.
"""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from django.db import connection
from psycopg import Error

Handler = Callable[[int, FrameType | None], object]

SIGNALS = (signal.SIGTERM, signal.SIGINT)
#: A query that began after the last cancellation is cancelled by the next.
CANCEL_AGAIN_SECONDS = 0.5
#: A database that does not answer a cancellation either: Celery's handler raises after all.
CANCELLATIONS = 10


class StopSignals:
    """Beat's signals, which interrupt no turn.

    Promise: outside of a turn Celery's own handler runs at once, in a turn after it, with its queries cancelled meanwhile.
    Limit: a turn that goes on for ``CANCELLATIONS`` of them is interrupted. In the main thread only: elsewhere there are no signals.
    """

    def __init__(self) -> None:
        self._celerys: dict[int, Handler] = {}
        self._is_turning = False
        self._told: int | None = None
        self._cancellations = 0

    def install(self) -> None:
        """Stand before the handlers that Celery's beat has installed."""
        if threading.current_thread() is not threading.main_thread():
            return
        for number in SIGNALS:
            handler = signal.getsignal(number)
            if callable(handler) and handler is not signal.default_int_handler:
                self._celerys[number] = handler
                signal.signal(number, self._handle)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """A turn. Raises what Celery's handler raises, when it is over, if a signal has come."""
        self._is_turning = True
        try:
            yield
        finally:
            self._is_turning = False
            if self._told is not None:
                signal.setitimer(signal.ITIMER_REAL, 0)
                self._celerys[self._told](self._told, None)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if not self._is_turning:
            self._celerys[number](number, frame)
        elif self._told is None:
            self._told = number
            signal.signal(signal.SIGALRM, self._cancel)
            signal.setitimer(signal.ITIMER_REAL, CANCEL_AGAIN_SECONDS, CANCEL_AGAIN_SECONDS)
            self._cancel(number, frame)

    def _cancel(self, _number: int, frame: FrameType | None) -> None:
        if self._told is None or not self._is_turning:
            return
        self._cancellations += 1
        if self._cancellations > CANCELLATIONS:
            self._is_turning = False
            self._celerys[self._told](self._told, frame)
        elif connection.connection is not None:
            with suppress(Error):  # it cannot be cancelled now: again in a moment
                connection.connection.cancel_safe(timeout=CANCEL_AGAIN_SECONDS / 2)
