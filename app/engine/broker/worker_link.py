"""What the transport knows of the Celery worker that it serves, learned from Celery's own signals.

In a program that consumes without a Celery worker (plain kombu) nothing is known, and nothing depends on it.
"""

import contextlib
import logging
import queue
import sys
import threading
import time
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import Any

from celery import current_app, signals
from celery.app.task import Context

from app.engine.broker.pool_ending import PoolEnding
from app.engine.broker.received import Received
from app.engine.job_ledger import JobLedger

logger = logging.getLogger(__name__)

#: Beyond its hard limit a run is dead or out of control: Celery kills it at the limit, and telling SQS takes moments.
OVERDUE_SECONDS = 60.0
#: While the store is away, more than that are not kept in memory: whoever waits for them will have to find the dead letter.
MOST_UNRECORDED = 1000


class ReadyWorker:
    """The worker of this process, from the moment that it says that it is ready, which it says once."""

    def __init__(self) -> None:
        self.consumer: Any = None
        signals.worker_ready.connect(self._ready, weak=False)

    def _ready(self, sender: Any, **_: Any) -> None:
        self.consumer = sender


@lru_cache(maxsize=1)
def ready_worker() -> ReadyWorker:
    """Asked for the first time when a transport is made, before any worker can be ready."""
    return ReadyWorker()


class WorkerLink:
    """``on_stop`` is called in the handler of SIGTERM and of the like: it must not take a lock."""

    def __init__(self, *, on_stop: Callable[[], None], on_ready: Callable[[], None]) -> None:
        self._on_stop = on_stop
        self._on_ready = on_ready
        self._consumer: Any = None
        self._pool_ending: PoolEnding | None = None
        self._unrecorded: queue.Queue[Callable[[], None] | None] = queue.Queue(MOST_UNRECORDED)
        self._recorder: threading.Thread | None = None
        self._starting = threading.Lock()
        self.is_urgent = False
        """Whether the worker was told to end at once."""

    def connect(self) -> None:
        signals.worker_ready.connect(self._ready, dispatch_uid=f"broker.ready.{id(self)}", weak=False)
        signals.worker_shutting_down.connect(self._stopping, dispatch_uid=f"broker.stop.{id(self)}", weak=False)
        if (consumer := ready_worker().consumer) is not None:
            # The worker was ready before it consumed: it was told to wait, or its connection was made anew.
            self._ready(consumer)

    def disconnect(self) -> None:
        signals.worker_ready.disconnect(dispatch_uid=f"broker.ready.{id(self)}")
        signals.worker_shutting_down.disconnect(dispatch_uid=f"broker.stop.{id(self)}")
        with contextlib.suppress(queue.Full):
            self._unrecorded.put_nowait(None)

    def _ready(self, sender: Any, **_: Any) -> None:
        self._consumer = sender
        self._pool_ending = PoolEnding(getattr(sender, "pool", None))
        self._on_ready()

    def _stopping(self, how: str, **_: Any) -> None:
        self.is_urgent = how != "Warm"
        self._on_stop()

    def end_pool(self) -> None:
        """Have a cold stop come to its end, whatever the pool's processes do."""
        if self._pool_ending is not None:
            self._pool_ending.enforce()

    def record_failure(self, received: Received, error: Exception) -> None:
        """Tell whoever waits for the result that there will be none.

        In a thread of its own: the store may be slow, or away. What it has not taken when the worker ends is not recorded.
        """
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
        try:
            self._unrecorded.put_nowait(partial(self._record, backend, received.task_id, error, request))
        except queue.Full:
            logger.warning("refused job not recorded: the store is behind", extra={"task_id": received.task_id})
        with self._starting:
            if self._recorder is None:
                # A daemon: a worker does not stay for a store that is away.
                recorder = threading.Thread(target=self._record_all, name="sqs-refused", daemon=True)
                recorder.start()
                self._recorder = recorder

    def _record_all(self) -> None:
        while (record := self._unrecorded.get()) is not None:
            record()

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

    def job_ledger(self) -> JobLedger | None:
        """The ledger of this worker's application; ``None`` where there is no worker, or it keeps none."""
        if self._consumer is None and "celery.worker.state" not in sys.modules:
            return None
        application = self._consumer.app if self._consumer is not None else current_app
        ledger: JobLedger | None = getattr(application, "job_ledger", None)
        return ledger

    def is_overdue(self, received: Received) -> bool:
        """Whether its run should have been killed a minute ago."""
        state = sys.modules.get("celery.worker.state")
        request = state.requests.get(received.task_id) if state is not None else None
        if request is None or request.message.delivery_tag != received.tag or not request.time_start:
            return False
        limit = request.time_limits[0] or request.task.time_limit
        return bool(limit) and time.time() - request.time_start > limit + OVERDUE_SECONDS
