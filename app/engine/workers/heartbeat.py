"""A worker says that it lives."""

import logging
import threading
import time
from datetime import UTC, datetime
from typing import Any

from celery import bootsteps
from celery.worker import state

from app.engine.conf import engine_settings
from app.engine.errors import EngineError
from app.engine.pulse import beat_pulse
from app.engine.workers.registry import HEARTBEAT, RunningJob, WorkerRecord, forget_worker, report_worker

logger = logging.getLogger(__name__)


class Heartbeat(bootsteps.StartStopStep):
    """Celery's consumer step that keeps the worker's item and its pulse file fresh.

    The event loop takes the snapshot and touches the file, so a loop that hangs is silent; a thread does the writing,
    so a slow DynamoDB does not hold up the loop. Starts again with the consumer.
    """

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, consumer: Any, **kwargs: Any) -> None:
        super().__init__(consumer, **kwargs)
        self._settings = engine_settings()
        self._started_at = datetime.now(UTC)
        self._snapshot: WorkerRecord | None = None
        self._taken = threading.Event()
        self._stopped = threading.Event()
        self._timer: Any = None
        self._thread: threading.Thread | None = None

    def start(self, consumer: Any) -> None:
        self._stopped.clear()
        self._thread = threading.Thread(target=self._report, name="worker-heartbeat", daemon=True)
        self._thread.start()
        self._take(consumer)
        self._timer = consumer.timer.call_repeatedly(HEARTBEAT.total_seconds(), self._take, (consumer,))

    def stop(self, consumer: Any) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._thread is not None:
            self._stopped.set()
            self._taken.set()
            self._thread.join(timeout=3)
            self._thread = None
            try:
                forget_worker(self._settings, consumer.hostname)
            except EngineError as error:
                logger.warning("worker not signed off", extra={"reason": str(error)})

    shutdown = stop

    def _take(self, consumer: Any) -> None:
        beat_pulse(self._settings)
        running = list(state.active_requests)
        self._snapshot = WorkerRecord(
            hostname=consumer.hostname,
            service=self._settings.service,
            queues=tuple(consumer.app.amqp.queues.consume_from),
            slots=consumer.pool.num_processes,
            running=tuple(RunningJob(id=request.id, task=request.name, started_at=_started_at(request)) for request in running),
            reserved=max(len(state.reserved_requests) - len(running), 0),
            release=self._settings.release,
            started_at=self._started_at,
            seen_at=datetime.now(UTC),
        )
        self._taken.set()

    def _report(self) -> None:
        failing = False
        while not self._stopped.is_set():
            self._taken.wait()
            self._taken.clear()
            if self._stopped.is_set() or self._snapshot is None:
                continue
            try:
                report_worker(self._settings, self._snapshot)
                failing = False
            except EngineError as error:
                if not failing:
                    logger.warning("worker not reported", extra={"reason": str(error)})
                failing = True
            except Exception:
                logger.exception("worker not reported")


def _started_at(request: Any) -> datetime:
    """Celery notes the monotonic clock; people want the other one."""
    return datetime.fromtimestamp(time.time() - (time.monotonic() - request.time_start), UTC) if request.time_start else datetime.now(UTC)
