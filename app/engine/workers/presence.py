"""A service that runs no jobs says that it lives: beat, the outbox relay."""

import logging
import os
import threading
from datetime import UTC, datetime
from socket import gethostname

from app.engine.conf import EngineSettings
from app.engine.errors import EngineError
from app.engine.pulse import pulse_age
from app.engine.workers.identity import TaskIdentity
from app.engine.workers.memory import memory_bytes
from app.engine.workers.records import HEARTBEAT, SILENT_AFTER, WorkerRecord
from app.engine.workers.registry import Entry

logger = logging.getLogger(__name__)


class Presence:
    """Reports the service of this process for as long as its loop touches the pulse file.

    A thread of its own, so that a DynamoDB that is slow or away holds up nothing; a loop that hangs is not reported.
    """

    def __init__(self, settings: EngineSettings) -> None:
        self._settings = settings
        self._hostname = f"{settings.service}@{gethostname()}"
        self._entry = Entry(settings, self._hostname)
        self._identity = TaskIdentity(settings)
        self._started_at = datetime.now(UTC)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="presence", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Take the service off the list."""
        self._stopped.set()
        self._thread.join(timeout=3)
        try:
            self._entry.remove()
        except EngineError as error:
            logger.warning("service not signed off", extra={"reason": str(error)})

    def _run(self) -> None:
        failing = False
        pause = 0.5
        while not self._stopped.wait(pause):
            pause = HEARTBEAT.total_seconds()
            age = pulse_age(self._settings.pulse_directory, self._settings.service)
            if age is None or age > SILENT_AFTER:
                continue
            try:
                self._entry.report(self._record())
                failing = False
            except EngineError as error:
                if not failing:
                    logger.warning("service not reported", extra={"reason": str(error)})
                failing = True
            self._identity.read()

    def _record(self) -> WorkerRecord:
        return WorkerRecord(
            hostname=self._hostname,
            service=self._settings.service,
            queues=(),
            slots=0,
            running=(),
            reserved=0,
            memory_bytes=memory_bytes([os.getpid()]),
            release=self._settings.release,
            ecs_task=self._identity.arn,
            started_at=self._started_at,
            seen_at=datetime.now(UTC),
        )
