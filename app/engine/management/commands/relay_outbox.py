import logging
import random
import signal
import threading
import time
from typing import Any

from celery import current_app
from django.core.management.base import BaseCommand
from django.db import Error as DatabaseError
from django.db import connections
from django.utils import timezone

from app.engine.conf import EngineSettings, engine_settings
from app.engine.dead_letters.clerk import Clerk
from app.engine.errors import TransientError
from app.engine.job_ledger import JobRegister
from app.engine.metrics.emf import emit_all
from app.engine.outbox.lag import read_outbox_lag
from app.engine.outbox.late_records import BATCH as LATE_RECORDS
from app.engine.outbox.late_records import count_late_records, deliver
from app.engine.outbox.relay import BATCH, relay_once
from app.engine.pulse import beat_pulse
from app.engine.workers.presence import Presence
from app.topology import metrics

logger = logging.getLogger("app.engine.outbox.relay")

PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 5.0
LAG_EVERY_SECONDS = 15.0


class Command(BaseCommand):
    help = "Send what was committed and not sent, and keep the index of dead letters, until SIGTERM or SIGINT."

    def handle(self, *args: Any, **options: Any) -> None:
        settings = engine_settings()
        stopped = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stopped.set())
        presence = Presence(settings)
        presence.start()
        clerk = Clerk(settings)
        clerk.start()
        _relay_until(stopped, settings)
        clerk.stop()
        presence.stop()


def _relay_until(stopped: threading.Event, settings: EngineSettings) -> None:
    failures = 0
    lag_due_at = 0.0
    while not stopped.is_set():
        beat_pulse(settings)
        try:
            if time.monotonic() >= lag_due_at:
                _emit_lag(settings)
                lag_due_at = time.monotonic() + LAG_EVERY_SECONDS
                _deliver_late_records()
            is_more_due = relay_once().taken == BATCH
        except (TransientError, DatabaseError) as error:
            failures += 1
            if failures == 1:
                logger.warning("outbox relay pauses", extra={"reason": str(error)})
            connections.close_all()
            stopped.wait(random.uniform(0.1, min(LONGEST_PAUSE_SECONDS, 0.5 * 2.0 ** min(failures, 10))))  # noqa: S311 — jitter
            continue
        if failures:
            logger.info("outbox relay goes on")
            failures = 0
        if not is_more_due:
            stopped.wait(PAUSE_SECONDS)


def _deliver_late_records() -> None:
    register: JobRegister | None = current_app.job_register
    while register is not None and deliver(register.write) == LATE_RECORDS:
        pass


def _emit_lag(settings: EngineSettings) -> None:
    lag = read_outbox_lag(timezone.now())
    figures = {
        metrics.OUTBOX_WAITING: lag.waiting,
        metrics.OUTBOX_LAG: lag.oldest.total_seconds() if lag.oldest else 0,
        metrics.LATE_RECORDS: count_late_records(),
    }
    emit_all(figures, {metrics.DEPLOYMENT: settings.name_prefix, "Service": settings.service})
