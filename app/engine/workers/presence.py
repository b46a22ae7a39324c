"""A service that runs no jobs says that it lives: beat, the outbox relay."""

import logging
import threading
from datetime import UTC, datetime

from app.engine.conf import EngineSettings
from app.engine.errors import EngineError
from app.engine.pulse import pulse_age
from app.engine.workers.registry import HEARTBEAT, SILENT_AFTER, forget_worker, report_service, service_hostname

logger = logging.getLogger(__name__)


class Presence:
    """Reports the service of this process for as long as its loop touches the pulse file.

    A thread of its own, so that a DynamoDB that is slow or away holds up nothing; a loop that hangs is not reported.
    """

    def __init__(self, settings: EngineSettings) -> None:
        self._settings = settings
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
            forget_worker(self._settings, service_hostname(self._settings))
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
                report_service(self._settings, self._started_at, datetime.now(UTC))
                failing = False
            except EngineError as error:
                if not failing:
                    logger.warning("service not reported", extra={"reason": str(error)})
                failing = True
