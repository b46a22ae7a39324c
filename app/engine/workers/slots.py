"""How busy a worker is, for the dashboards."""

import time
from collections.abc import Callable

from app.engine.conf import EngineSettings
from app.engine.metrics.emf import emit_all
from app.engine.workers.records import WorkerRecord
from app.topology.metrics import DEPLOYMENT, WORKER_SLOTS, WORKER_SLOTS_BUSY

#: CloudWatch's own rhythm: more lines would say no more.
EVERY_SECONDS = 60.0


class SlotFigures:
    """The slots of this worker and those in use, once a minute. Of several workers, sums divided by sums are the share that is busy."""

    def __init__(self, settings: EngineSettings, now: Callable[[], float] = time.monotonic) -> None:
        self._dimensions = {DEPLOYMENT: settings.name_prefix, "Service": settings.service}
        self._now = now
        self._due_at = now()

    def tell(self, record: WorkerRecord) -> None:
        if self._now() >= self._due_at:
            self._due_at = self._now() + EVERY_SECONDS
            emit_all({WORKER_SLOTS: record.slots, WORKER_SLOTS_BUSY: record.busy}, self._dimensions)
