"""Beat's scheduler."""

import logging
import os
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from socket import gethostname
from typing import Any

from celery.beat import Scheduler as CeleryScheduler
from django.db import Error as DatabaseError
from django.db import InterfaceError, OperationalError, connections
from django.utils import timezone

from app.engine.conf import engine_settings
from app.engine.metrics.emf import emit
from app.engine.pulse import beat_pulse
from app.engine.schedules.declared import install
from app.engine.schedules.errors import LeadershipLost, NeverDue
from app.engine.schedules.firing import settle
from app.engine.schedules.leadership import Candidate
from app.engine.schedules.occurrences import prune
from app.engine.schedules.stopping import StopSignals
from app.engine.schedules.timetable import Timetable
from app.topology.metrics import DEPLOYMENT, SCHEDULE_LAG

logger = logging.getLogger(__name__)

#: The longest sleep of the leader: how soon an edit is seen, and how often the leadership is renewed.
LONGEST_PAUSE_SECONDS = 2.0
#: How often another beat looks whether the leadership is free.
STANDBY_SECONDS = 1.0
PRUNE_EVERY = timedelta(hours=1)
#: How often the leader says how far the schedule is behind.
LAG_EVERY_SECONDS = 15.0
#: An entry whose rows the database refuses to write.
TRIED_AGAIN_AFTER = timedelta(minutes=1)


class Scheduler(CeleryScheduler):
    """Sends what is due if this beat leads, and waits to lead if another does.

    It keeps nothing that PostgreSQL does not know: a beat that starts, or takes over, goes on where the last one was.
    """

    max_interval = LONGEST_PAUSE_SECONDS

    def __init__(self, app: Any, *, lazy: bool = False, now: Callable[[], datetime] = timezone.now, **_: Any) -> None:
        self._signals = StopSignals()
        super().__init__(app, max_interval=self.max_interval, lazy=lazy)
        self._now = now
        self._candidate = Candidate(f"{gethostname()}:{os.getpid()}")
        self._timetable = Timetable()
        self._is_installed = False
        self._is_database_away = False
        self._prune_at: datetime | None = None
        self._lag = timedelta(0)
        self._lag_due_at = 0.0

    @property
    def is_leading(self) -> bool:
        """Whether this beat leads for certain, asked from any thread."""
        return self._candidate.is_leading

    def setup_schedule(self) -> None:
        """Only the signals: the database may be away, and another beat may lead. The leader's first turn does the rest."""
        self._signals.install()

    def tick(self, *_: Any, **__: Any) -> float:
        """One turn of beat's loop. Returns how many seconds beat may sleep."""
        beat_pulse(engine_settings())
        try:
            with self._signals.waiting():
                pause = self._turn()
        except DatabaseError as error:
            if not self._is_database_away:
                logger.warning("beat waits for the database", extra={"reason": str(error)})
            self._is_database_away = True
            # Whatever happened meanwhile, the database knows it.
            self._timetable.forget()
            connections.close_all()
            return STANDBY_SECONDS
        if self._is_database_away:
            logger.info("beat goes on")
            self._is_database_away = False
        return pause

    def _turn(self) -> float:
        if not self._candidate.lead():
            self._timetable.forget()
            return STANDBY_SECONDS
        if not self._is_installed:
            install(self.app.conf.beat_schedule)
            self._is_installed = True
        now = self._now()
        self._timetable.refresh(now)
        self._tell_lag(now)
        for entry_id in self._timetable.due(now):
            try:
                self._timetable.note(entry_id, self._settle(entry_id, now))
            except LeadershipLost as error:
                logger.warning("beat leads no longer", extra={"reason": str(error)})
                self._timetable.forget()
                return STANDBY_SECONDS
        self._prune(now)
        following = self._timetable.next_due()
        left = LONGEST_PAUSE_SECONDS if following is None else (following - self._now()).total_seconds()
        return min(max(left, 0.0), LONGEST_PAUSE_SECONDS)

    def _tell_lag(self, now: datetime) -> None:
        """Publish the largest lag since the last time. Whoever does not lead, or cannot reach the database, is silent: an alarm listens."""
        following = self._timetable.next_due()
        if following is not None:
            self._lag = max(self._lag, now - following)
        if time.monotonic() >= self._lag_due_at:
            settings = engine_settings()
            emit(SCHEDULE_LAG, self._lag.total_seconds(), {DEPLOYMENT: settings.name_prefix, "Service": settings.service})
            self._lag = timedelta(0)
            self._lag_due_at = time.monotonic() + LAG_EVERY_SECONDS

    def _settle(self, entry_id: int, now: datetime) -> datetime | None:
        """When to look at the entry again. Whatever is wrong with it holds up no other."""
        try:
            return settle(self.app, self._candidate, entry_id, now=now)
        except NeverDue:  # edited since the timetable was read
            return None
        except (OperationalError, InterfaceError):
            raise
        except DatabaseError as error:
            logger.error("beat cannot send", extra={"entry": entry_id, "reason": str(error)})  # noqa: TRY400 — no fault of ours
            return now + TRIED_AGAIN_AFTER

    def _prune(self, now: datetime) -> None:
        if self._prune_at is None or now >= self._prune_at:
            prune(now)
            self._prune_at = now + PRUNE_EVERY

    def close(self) -> None:
        """Let another beat lead. Celery calls it from its signal handler and again at the end."""
        try:
            self._candidate.leave()
        except DatabaseError as error:
            logger.warning("beat could not leave", extra={"reason": str(error)})
        super().close()
