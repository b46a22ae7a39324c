"""gevent: a call that waits in C, where no greenlet can switch, waits in a native thread, and the other greenlets go on.

A pool of our own, not the hub's: that has ten threads for everything, name look-ups among them, and ten idle long polls would
take them all for 20 seconds.
"""

from collections.abc import Callable
from typing import Any

from kombu.utils.compat import detect_environment

#: Of requests under way at once, one thread each. Threads are made when they are needed, and stay.
MOST_REQUESTS = 256


def are_used() -> bool:
    """Whether this process is one of gevent's: patched, so that what looks like a thread is a greenlet."""
    return bool(detect_environment() == "gevent")


class NativeThreads:
    """Runs calls outside of the greenlets. Limit: a 257th call waits for one of the others to end.

    A call from a native thread (a job that uses gevent's own thread pool) is run by that thread: it may wait.
    """

    def __init__(self) -> None:
        self._pool: Any = None

    def run(self, call: Callable[[], object]) -> None:
        """Raises what the call raises."""
        # Not above: only the processes of its users have it.
        from gevent import get_hub
        from gevent.threadpool import ThreadPool

        hub = get_hub()
        if not hub.main_hub:
            call()
            return
        if self._pool is None:
            self._pool = ThreadPool(MOST_REQUESTS, hub)
        # Of an exception that leaves the pool, gevent prints the traceback; ours are answers like any other.
        if (error := self._pool.apply(_outcome, (call,))) is not None:
            raise error


def _outcome(call: Callable[[], object]) -> Exception | None:
    try:
        call()
    except Exception as error:  # noqa: BLE001 — raised again, in the greenlet that asked
        return error
    return None
