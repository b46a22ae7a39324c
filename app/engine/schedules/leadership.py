"""One beat acts."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from django.db import connection, transaction
from django.db.models.functions import Now

from app.engine.schedules.errors import LeadershipLost
from app.engine.schedules.models import Leadership

logger = logging.getLogger(__name__)

#: How long a leader that is silent keeps the others from acting.
TERM = timedelta(seconds=10)
#: PostgreSQL ends the session of a leader that was stopped in the middle of a transaction, and its locks with it.
LONGEST_SILENCE_SECONDS = 5
#: There is one row.
_ROW = 1


class Candidate:
    """A beat that leads, or would like to.

    Promise: ``acting()`` gives a transaction only to the one leader; of two that believe to lead, one is refused. A leader that is
    killed is followed after ``TERM``, one that is stopped in the middle of a transaction as well, one that leaves at once.
    Limit: time is PostgreSQL's, so clocks of hosts do not matter here; without PostgreSQL nobody leads.
    """

    def __init__(self, name: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.name = name
        self.fence: int | None = None
        """While this one believes to lead."""
        self._clock = clock
        self._renewed_at = 0.0

    @property
    def is_leading(self) -> bool:
        """Whether it leads for certain, asked from any thread: a silent leader is followed after ``TERM``."""
        return self.fence is not None and self._clock() - self._renewed_at < TERM.total_seconds()

    def lead(self) -> bool:
        """Renew the leadership, or take it if it is free. Raises Django's database errors."""
        asked_at = self._clock()
        if self.fence is None:
            self.fence = self._take()
            self._renewed_at = asked_at
            return self.fence is not None
        try:
            with self.acting():
                pass
            self._renewed_at = asked_at
            return True
        except LeadershipLost as error:
            logger.warning("beat leads no longer", extra={"reason": str(error)})
            return False

    @contextmanager
    def acting(self) -> Iterator[int]:
        """A transaction in which nobody else can become the leader, and the fence. Renews.

        Raises :class:`LeadershipLost` if somebody else has become it.
        """
        with transaction.atomic():
            _limit_silence()
            # The row stays locked until the commit: a takeover comes before this line or after the commit, never between.
            if self.fence is None or not Leadership.objects.filter(pk=_ROW, fence=self.fence).update(held_until=Now() + TERM):
                self.fence = None
                raise LeadershipLost(f"{self.name} was silent for too long: another beat leads.")
            yield self.fence

    def leave(self) -> None:
        """Let another lead at once. Raises Django's database errors."""
        fence, self.fence = self.fence, None
        if fence is not None and Leadership.objects.filter(pk=_ROW, fence=fence).update(leader="", held_until=Now()):
            logger.info("beat leaves", extra={"fence": fence})

    def _take(self) -> int | None:
        if not Leadership.objects.filter(pk=_ROW).exists():  # asked first: an insert would wait for whoever has the row locked
            Leadership.objects.bulk_create([Leadership(pk=_ROW)], ignore_conflicts=True)
        with transaction.atomic():
            _limit_silence()
            # SKIP LOCKED: who holds the row is alive, and to wait for it would be to hang with it.
            row = Leadership.objects.select_for_update(skip_locked=True).filter(pk=_ROW).annotate(now=Now()).first()
            if row is None or (row.leader and row.held_until > row.now):
                return None
            row.leader, row.fence, row.since, row.held_until = self.name, row.fence + 1, row.now, row.now + TERM
            row.save()
        logger.info("beat leads", extra={"fence": row.fence})
        return row.fence


def _limit_silence() -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL idle_in_transaction_session_timeout = '{LONGEST_SILENCE_SECONDS}s'")
