"""The thread that looks after what a worker holds: leases, what waits too long, queues that fell silent, and the stop."""

import logging
import queue
import threading
import time
from collections.abc import Callable

logger = logging.getLogger(__name__)

#: What may be noticed this late: a silent queue, work that waits in the buffer.
LONGEST_PAUSE_SECONDS = 2.0


class Housekeeping:
    """Calls each duty in turn until :meth:`end`. A duty that raises is logged and does not keep others from theirs.

    ``soon`` may be called from a signal handler: it takes no lock.
    """

    def __init__(self, duties: tuple[Callable[[], object], ...], pause_seconds: Callable[[], float]) -> None:
        self._duties = duties
        self._pause_seconds = pause_seconds
        # A SimpleQueue's put() is reentrant; an Event's set() would dead-lock with a handler that interrupts it.
        self._orders: queue.SimpleQueue[Callable[[], object] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="sqs-housekeeping", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def soon(self, order: Callable[[], object]) -> None:
        """Have the thread do this next."""
        self._orders.put(order)

    def finish(self, within: float) -> None:
        """Carry out every order given so far, then end."""
        self._orders.put(None)
        if self._thread is not threading.current_thread():
            self._thread.join(within)

    def end(self, within: float = 5.0) -> None:
        self._orders.put(None)
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(within)

    def _run(self) -> None:
        due = time.monotonic()
        while True:
            try:
                order = self._orders.get(timeout=max(due - time.monotonic(), 0.001))
            except queue.Empty:
                for duty in self._duties:
                    self._do(duty)
                due = time.monotonic() + self._pause()
                continue
            if order is None:
                return
            self._do(order)

    def _pause(self) -> float:
        try:
            return min(self._pause_seconds(), LONGEST_PAUSE_SECONDS)
        except Exception:
            logger.exception("housekeeping: unexpected error, going on")
            return LONGEST_PAUSE_SECONDS

    @staticmethod
    def _do(duty: Callable[[], object]) -> None:
        try:
            duty()
        except Exception:
            logger.exception("housekeeping: unexpected error, going on")
