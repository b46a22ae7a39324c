"""That a prefork pool ends when its worker is told to, and that what its children have run is settled.

Seams of Celery 5.7 and billiard 4.3, named in tests/unit/engine/broker/test_seams.py.
"""

import contextlib
import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

logger = logging.getLogger(__name__)

#: After a cold stop began. Celery ends the runs that it knows of at once, and a child that has ended its run takes a second to go.
COLD_SECONDS = 5.0


class PoolEnding:
    """The end of one worker's pool.

    A warm stop of Celery's forgets each job of which it has not read that a child began it, also when a child has it already:

        buffered ──written to a child──▶ handed over ──"began" is read──▶ accepted ──"done" is read──▶ settled
           └──────────forgotten by Celery─────────┘

    The child runs what was handed over, but nobody reads that it did: its message is given back and the job runs again, and the child
    waits 30 seconds to be heard before it ends. A job that was being written stays half written, and its child waits for the rest for ever.
    Here only what is buffered is forgotten.

    A cold stop ends the runs that Celery knows of, and waits for every child, whatever it does. Here it waits for a while. The limit: a main
    process that reads the result of a child that was killed half-way through writing it waits for the rest.
    """

    def __init__(self, pool: Any, *, clock: Callable[[], float] = time.monotonic) -> None:
        asynpool = sys.modules.get("celery.concurrency.asynpool")
        processes = getattr(pool, "_pool", None)
        # Threads, greenlets and the solo pool have no children. Without an event loop a prefork pool reads in a thread, to the end.
        self._pool = processes if asynpool is not None and isinstance(processes, asynpool.AsynPool) else None
        self._clock = clock
        self._cold_at: float | None = None
        if self._pool is not None:
            # What Celery's consumer calls, when it stops as well as when it has lost its connection.
            pool.flush = self._flush

    def enforce(self) -> None:
        """To be called again and again: kill the children for which a cold stop has waited too long."""
        if self._pool is None or sys.modules["celery.worker.state"].should_terminate in (None, False):
            return
        # Celery's signal of a cold stop comes when the stop is over. This flag stands before it waits for the pool.
        now = self._clock()
        if self._cold_at is None:
            self._cold_at = now
        if now < self._cold_at + COLD_SECONDS:
            return
        for child in list(self._pool._pool):
            # Only the main thread may ask the system whether a child is gone: the answer is given once.
            if child._popen is not None and child._popen.returncode is None:
                logger.warning("pool process killed: it does not end", extra={"process_id": child.pid})
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child.pid, signal.SIGKILL)

    def _flush(self) -> None:
        pool: Any = self._pool
        billiard = sys.modules["billiard.pool"]
        if pool._state != billiard.CLOSE:
            # The connection is lost: the deliveries of all these jobs are void.
            pool.flush()
            return
        for job in list(pool.outbound_buffer):
            if not job._accepted:
                job.discard()
        pool.outbound_buffer.clear()
        for job in list(pool._cache.values()):
            # A reference that only a job that was being handed over has, and that is dead when that is done.
            writer = job._writer() if job._write_to is not None else None
            if writer is not None:
                pool._flush_writer(job._write_to, writer)
