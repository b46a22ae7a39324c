"""The Celery application class: plain Celery, plus the outbox and the worker's heartbeat."""

from datetime import datetime
from typing import Any

from celery.result import AsyncResult

from app.engine.broker.program import Program
from app.engine.conf import SOFT_SHARE
from app.engine.outbox import producer
from app.engine.workers.heartbeat import Heartbeat


class Application(Program):
    """Everything that is published inside a database transaction waits for its commit: ``delay()``, ``send_task()``, canvas.

    Outside a transaction, messages are sent at once, as always. In either case a job that is due later than SQS could hold its
    message waits in the database until shortly before.
    """

    task_cls = "app.engine.task:Task"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.steps["consumer"].add(Heartbeat)

    def send_task(
        self,
        name: str,
        args: Any = None,
        kwargs: Any = None,
        countdown: float | None = None,
        eta: datetime | str | None = None,
        *more: Any,
        **options: Any,
    ) -> AsyncResult:
        limit, soft = options.get("time_limit"), options.get("soft_time_limit")
        if limit and (soft is None or soft > limit):
            # Celery arms the hard limit when the soft one has passed: the task's own, longer one would disarm the caller's.
            options["soft_time_limit"] = limit * SOFT_SHARE
        if producer.must_wait(countdown=countdown, eta=eta):
            options |= {"producer": producer.OutboxProducer(self), "connection": None}
        result: AsyncResult = super().send_task(name, args, kwargs, countdown, eta, *more, **options)
        return result
