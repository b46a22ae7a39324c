"""What the transport knows of the Celery worker that it serves, learned from Celery's own signals.

In a program that consumes without a Celery worker (plain kombu) nothing is known, and nothing depends on it.
"""

import logging
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from celery import current_app, signals
from celery.app.task import Context

from app.engine.broker.received import Received

logger = logging.getLogger(__name__)

#: Beyond its hard limit a run is dead or out of control: Celery kills it at the limit, and telling SQS takes moments.
OVERDUE_SECONDS = 60.0


class WorkerLink:
    """``on_stop`` is called in the handler of SIGTERM and of the like: it must not take a lock."""

    def __init__(self, *, on_stop: Callable[[], None], on_ready: Callable[[], None]) -> None:
        self._on_stop = on_stop
        self._on_ready = on_ready
        self._consumer: Any = None
        # Its thread starts with the first failure.
        self._recorder = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sqs-refused")
        self.is_urgent = False
        """Whether the worker was told to end at once."""

    def connect(self) -> None:
        signals.worker_ready.connect(self._ready, dispatch_uid=f"broker.ready.{id(self)}", weak=False)
        signals.worker_shutting_down.connect(self._stopping, dispatch_uid=f"broker.stop.{id(self)}", weak=False)

    def disconnect(self) -> None:
        signals.worker_ready.disconnect(dispatch_uid=f"broker.ready.{id(self)}")
        signals.worker_shutting_down.disconnect(dispatch_uid=f"broker.stop.{id(self)}")
        self._recorder.shutdown(wait=False, cancel_futures=True)

    def _ready(self, sender: Any, **_: Any) -> None:
        self._consumer = sender
        self._on_ready()

    def _stopping(self, how: str, **_: Any) -> None:
        self.is_urgent = how != "Warm"
        self._on_stop()

    def record_failure(self, received: Received, error: Exception) -> None:
        """Tell whoever waits for the result that there will be none. In a thread of its own: the store may be slow, or away."""
        if self._consumer is None or not received.task_id:
            return
        backend = self._consumer.app.backend
        request = Context(
            id=received.task_id,
            task=received.task,
            retries=0,
            delivery_info={"exchange": "", "routing_key": received.queue},
            hostname=self._consumer.hostname,
        )
        self._recorder.submit(self._record, backend, received.task_id, error, request)

    @staticmethod
    def _record(backend: Any, task_id: str, error: Exception, request: Context) -> None:
        try:
            backend.mark_as_failure(task_id, error, request=request)
        except Exception:
            logger.exception("refused job not recorded", extra={"task_id": task_id})

    def slots(self) -> int | None:
        pool = getattr(self._consumer, "pool", None)
        return getattr(pool, "num_processes", None)

    def tasks(self) -> Mapping[str, Any] | None:
        """The tasks that this worker knows; ``None`` where there is no worker."""
        if self._consumer is not None:
            tasks: Mapping[str, Any] = self._consumer.app.tasks
            return tasks
        return current_app.tasks if "celery.worker.state" in sys.modules else None

    def is_overdue(self, received: Received) -> bool:
        """Whether its run should have been killed a minute ago."""
        state = sys.modules.get("celery.worker.state")
        request = state.requests.get(received.task_id) if state is not None else None
        if request is None or request.message.delivery_tag != received.tag or not request.time_start:
            return False
        limit = request.time_limits[0] or request.task.time_limit
        return bool(limit) and time.time() - request.time_start > limit + OVERDUE_SECONDS
