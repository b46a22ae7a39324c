"""The Celery application class: plain Celery, plus the outbox, remote control, and the worker's heartbeat and protection."""

from collections.abc import Collection
from datetime import UTC, datetime
from functools import cached_property, partial
from typing import Any

import django
from celery.result import AsyncResult
from django.apps import apps

from app.engine.broker.program import Program
from app.engine.broker.put_off import PutOff
from app.engine.conf import SOFT_SHARE, engine_settings
from app.engine.control import Control, RemoteControl
from app.engine.database import DATABASE, DatabaseWatch, why_away
from app.engine.ledger.book import Book
from app.engine.ledger.register import Register
from app.engine.outbox import producer
from app.engine.workers.heartbeat import Heartbeat
from app.engine.workers.protection import ScaleInProtection
from app.engine.workers.registry import live_workers


def _keep_late(items: list[dict[str, Any]]) -> None:
    # As above: its model exists only when Django has loaded its apps.
    from app.engine.outbox.late_records import keep

    keep(items)


class FleetControl(Control):
    """Remote control that knows who lives, and where far-off jobs wait."""

    def live_workers(self) -> Collection[str]:
        # A worker that is stopping answers no more.
        workers = live_workers(engine_settings(), datetime.now(UTC))
        return [worker.hostname for worker in workers if worker.slots and not worker.is_stopping]

    def cancel_waiting(self, task_ids: Collection[str]) -> None:
        # Celery's command line loads the apps only where it starts a worker or beat.
        if not apps.ready:
            django.setup()
        # Its models exist only when Django has loaded its apps, after this module.
        from app.engine.outbox.delayed import cancel_all

        cancel_all(task_ids)


class Application(Program):
    """Everything that is published inside a database transaction waits for its commit: ``delay()``, ``send_task()``, canvas.

    Outside a transaction, messages are sent at once, as always. In either case a job that is due later than SQS could hold its
    message waits in the database until shortly before. Each job has a record in the ledger from its sending on; until then its row is one.
    """

    task_cls = "app.engine.task:Task"
    control_cls = "app.engine.application:FleetControl"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._database_watch = DatabaseWatch(why_away)
        self.steps["consumer"].update((Heartbeat, RemoteControl, ScaleInProtection))
        self.job_register = Register(engine_settings, keep=_keep_late)
        self.job_ledger = Book(self, engine_settings, lambda task_id: str(self.backend.get_key_for_task(task_id)))

    def when_put_off(self, error: PutOff, channel: Any) -> None:
        if error.obstacle == DATABASE:
            queues = self._queues_that_use_the_database
            channel.suspend(queues)
            self._database_watch.report(str(error.reason), channel, partial(channel.resume, queues))

    @cached_property
    def _queues_that_use_the_database(self) -> frozenset[str]:
        """Asked in a worker, which knows its tasks. Of a queue that carries both kinds, every job waits."""
        carrying = (engine_settings().topology.queue_for(name) for name, task in self.tasks.items() if getattr(task, "uses_database", True))
        return frozenset(queue.name for queue in carrying if queue is not None)

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
