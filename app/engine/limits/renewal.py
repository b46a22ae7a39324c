"""A lease that is kept while a run goes on."""

import logging
import threading
from collections.abc import Callable
from datetime import timedelta
from types import TracebackType
from typing import Self

from django.db import Error as DatabaseError
from django.db import connections

logger = logging.getLogger(__name__)

LEASE = timedelta(seconds=60)
"""How long whatever a killed run held stays locked."""
RENEWALS_PER_LEASE = 4


class Renewal:
    """Calls ``renew`` four times a lease, in a thread with a database connection of its own. Runs that are shorter cost nothing.

    ``renew`` returns whether what it renews is still there. A renewal that fails is tried again at the next.
    """

    def __init__(self, renew: Callable[[], bool], *, lease: timedelta, what: str) -> None:
        self._renew = renew
        self._pause = lease.total_seconds() / RENEWALS_PER_LEASE
        self._what = what
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._work, name="limits-renewal", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._ended.set()
        # A renewal that is under way must not come after what was held is given back; it may take a while, and does no harm then.
        self._thread.join(timeout=1)

    def _work(self) -> None:
        while not self._ended.wait(self._pause):
            try:
                is_there = self._renew()
            except DatabaseError as error:
                logger.warning("permit not renewed", extra={"key": self._what, "reason": str(error)[:300]})
                continue
            finally:
                # Between two renewals nobody needs it.
                connections.close_all()
            if not is_there:
                logger.error("permit lost", extra={"key": self._what})
                return
