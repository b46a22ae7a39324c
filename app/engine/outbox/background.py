"""Right after the commit, in a thread of the process that published, so that no request waits for SQS."""

import atexit
import logging
import os
import threading

from django.db import Error as DatabaseError
from django.db import connections

from app.engine.errors import TransientError
from app.engine.outbox.relay import BATCH, relay_once

logger = logging.getLogger(__name__)

#: Batches per wake-up. What is left after an outage is the relay service's work, not that of a web process.
BATCHES_PER_WAKE = 20
#: An idle thread gives its database connection back after this long.
IDLE_SECONDS = 10.0
EXIT_SECONDS = 3.0


class BackgroundRelay:
    """One daemon thread per process, started by the first commit that published something.

    Promise: a request never waits for it. Limit: what it cannot send it leaves to the relay service, and so does a
    process that dies.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._awake = threading.Event()
        self._idle = threading.Event()
        self._thread: threading.Thread | None = None
        self._pid = os.getpid()
        self._stopping = False

    def wake(self) -> None:
        """Say that something was committed. Returns at once."""
        if self._pid != os.getpid():  # forked: the parent's thread and locks are not ours
            self.__init__()  # type: ignore[misc] # a fork is a new life
        with self._lock:
            self._idle.clear()
            self._awake.set()
            if self._thread is None or not self._thread.is_alive():
                self._stopping = False
                self._thread = threading.Thread(target=self._run, name="outbox-background-relay", daemon=True)
                self._thread.start()

    def stop(self, within: float = EXIT_SECONDS) -> None:
        """Finish what was committed, within that many seconds, and end the thread."""
        thread = self._thread
        if self._pid != os.getpid() or thread is None or not thread.is_alive():
            return
        self._idle.wait(within)
        self._stopping = True
        self._awake.set()
        thread.join(within)

    def _run(self) -> None:
        while not self._stopping:
            if self._awake.wait(IDLE_SECONDS):
                self._awake.clear()
                self._relay()
                if not self._awake.is_set():
                    self._idle.set()
            else:
                connections.close_all()
        connections.close_all()

    def _relay(self) -> None:
        try:
            for _ in range(BATCHES_PER_WAKE):
                if relay_once().taken < BATCH:
                    return
        except TransientError as error:
            logger.warning("outbox waits for the relay service", extra={"reason": str(error)})
        except DatabaseError as error:
            logger.warning("outbox waits for the relay service", extra={"reason": str(error)})
            connections.close_all()
        except Exception:
            logger.exception("outbox waits for the relay service")


background_relay = BackgroundRelay()
atexit.register(background_relay.stop)
