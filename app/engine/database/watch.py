"""One thread that asks until the database answers again."""

import logging
import threading
import time
from collections.abc import Callable, Hashable

from app.engine.aws.backoff import Backoff

logger = logging.getLogger(__name__)


class DatabaseWatch:
    """``why_away()`` says what is wrong, or ``None``; it may take its time.

        answers ── report ──▶ away, asked with growing pauses up to 5 s ── None ──▶ answers: each waiter is called once

    Promise: :meth:`report` never waits. Both changes are logged once.
    """

    def __init__(self, why_away: Callable[[], str | None], *, sleep: Callable[[float], None] = time.sleep) -> None:
        self._why_away = why_away
        self._sleep = sleep
        self._lock = threading.Lock()
        self._waiting: dict[Hashable, Callable[[], None]] = {}
        self._is_asking = False

    def report(self, reason: str, waiter: Hashable, back: Callable[[], None]) -> None:
        """The database did not answer somebody. ``back()`` is called in another thread when it does; one call a waiter."""
        with self._lock:
            self._waiting[waiter] = back
            if self._is_asking:
                return
            self._is_asking = True
        logger.warning("database is away", extra={"reason": reason[:500]})
        threading.Thread(target=self._ask, name="database-watch", daemon=True).start()

    def _ask(self) -> None:
        began, backoff = time.monotonic(), Backoff()
        while self._is_away():
            backoff.failed()
            self._sleep(backoff.pause_seconds)
        with self._lock:
            waiting, self._waiting = list(self._waiting.values()), {}
            self._is_asking = False
        logger.info("database answers again", extra={"seconds": round(time.monotonic() - began, 1)})
        for back in waiting:
            try:
                back()
            except Exception:
                # The others wait, too.
                logger.exception("database: unexpected error, going on")

    def _is_away(self) -> bool:
        try:
            return self._why_away() is not None
        except Exception:
            # Nobody would wake those who wait. If the database is away, the next run says so again.
            logger.exception("database not probed, taken to answer")
            return False
