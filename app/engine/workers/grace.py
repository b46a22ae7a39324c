"""A graceful stop that ends in time.

    SIGTERM ──▶ warm: receives no more, lets runs finish ──all finished──▶ exit
                  └──── grace over, or SIGTERM again ──▶ cold: gives back what still runs ──▶ exit, before ECS sends SIGKILL

Celery's warm shutdown has no end of its own, and its soft one sleeps for the whole time-out even when nothing runs any more.
"""

import logging
import os
import signal
import threading
from datetime import timedelta
from typing import Any

from celery import signals

from app.engine.conf import engine_settings

logger = logging.getLogger(__name__)

#: What giving back and exiting may take.
MARGIN = timedelta(seconds=20)


class Grace:
    """Bounds the warm shutdown of one worker. A second SIGTERM ends it at once."""

    def __init__(self) -> None:
        self._is_begun = False

    def begin(self, how: str, **_: Any) -> None:
        """Celery's ``worker_shutting_down``. Runs in the signal's handler."""
        if how != "Warm":
            return
        if self._is_begun:
            os.kill(os.getpid(), signal.SIGQUIT)
            return
        self._is_begun = True
        settings = engine_settings()
        service = next((service for service in settings.topology.services if service.name == settings.service), None)
        # A worker that a person starts by hand in a terminal has nobody who would kill it.
        if service is not None:
            grace = max(service.stop_timeout - MARGIN, timedelta(0))
            timer = threading.Timer(grace.total_seconds(), _end)
            timer.daemon = True
            timer.start()


def connect() -> None:
    """Bound the warm shutdown of the worker of this process."""
    signals.worker_shutting_down.connect(Grace().begin, dispatch_uid="workers.grace", weak=False)


def _end() -> None:
    logger.warning("grace is over, giving back what still runs")
    os.kill(os.getpid(), signal.SIGQUIT)
