"""A run is told of its soft time limit once.

Promise: the signal raises ``SoftTimeLimitExceeded`` in a run at most once, so that what saves its work and enqueues the rest is not itself
cut off: a worker that was told to stop has been seen to send it twice within a millisecond. The hard limit stays.
Limit: prefork, whose limits are signals.
Use: ``begin_run()`` at the start of each run; ``check()`` in long work, between two parts. Stores: nothing. Emits: nothing.
"""

import signal
import threading
from types import FrameType

from billiard import pool
from billiard.exceptions import SoftTimeLimitExceeded


class _Once:
    """The signal's handler for one run."""

    def __init__(self) -> None:
        self.is_told = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if not self.is_told:
            self.is_told = True
            raise SoftTimeLimitExceeded


def begin_run() -> None:
    """Listen anew. Where the limit is no signal to this thread, nothing changes."""
    current = _handler()
    if current is pool.soft_timeout_sighandler or isinstance(current, _Once):
        signal.signal(pool.SIG_SOFT_TIMEOUT, _Once())


def check() -> None:
    """Raise ``SoftTimeLimitExceeded`` if this run was told of it before, and goes on.

    The signal may have struck inside a library that takes any exception for a failure of its own and tries again, as botocore does.
    """
    current = _handler()
    if isinstance(current, _Once) and current.is_told:
        raise SoftTimeLimitExceeded


def _handler() -> object:
    if threading.current_thread() is not threading.main_thread() or pool.SIG_SOFT_TIMEOUT is None:
        return None
    return signal.getsignal(pool.SIG_SOFT_TIMEOUT)
