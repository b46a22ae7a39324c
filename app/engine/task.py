"""What every ``@shared_task`` is built on."""

import math
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, ClassVar

from celery import Celery
from celery.contrib.django.task import DjangoTask
from celery.exceptions import Reject, Retry
from celery.result import AsyncResult
from celery.utils.time import get_exponential_backoff_interval

from app.engine import soft_limit
from app.engine.broker.bulk import Arguments, checked, publish_many
from app.engine.broker.put_off import PutOff, times_put_off
from app.engine.circuit_breaker.errors import CircuitOpen
from app.engine.conf import SOFT_SHARE, engine_settings
from app.engine.database import DATABASE, Trouble, trouble_of
from app.engine.effects.errors import EffectUnderWay
from app.engine.errors import TransientError
from app.engine.limits.unique import held
from app.engine.outbox import producer
from app.engine.outbox.due import due_at
from app.engine.sagas.reference import Reference

#: Under this name a run says that another one of its job is in its way.
TWIN = "twin"
#: A job that is the reason why the database is away must not take it away for ever.
MOST_TIMES_PUT_OFF = 20


class Task(DjangoTask):
    """Celery's task with our defaults, all of which a task may override in its decorator.

    :class:`~app.engine.errors.TransientError` is retried three times, after up to 2, 4 and 8 seconds (exponential
    backoff with full jitter, never more than 300). Nothing else is retried. Time limits are those of the task's queue.

    A run that finds PostgreSQL away is no attempt: its job is put off, twenty times at most, and the worker receives nothing until the
    database answers. A transaction that PostgreSQL gave up for another one is retried as a ``TransientError`` is.

    Neither is a run whose call a circuit breaker refused: its job is put off until the breaker may let one through, as often as it takes.
    """

    abstract = True
    Request = "app.engine.broker.request:Request"
    autoretry_for: ClassVar = (TransientError,)
    max_retries = 3
    retry_backoff = 2
    retry_backoff_max = 300
    retry_jitter = True
    claimed = True
    """Whether a job is claimed in the ledger before each run: a repeated message of a finished or running job is then not run. Costs a write."""

    uses_database = True
    """Whether a database that is away concerns this task. Otherwise its errors are the task's own, and a queue of such tasks goes on."""

    atomic_step = False
    """Whether a run of it, as a step of a saga, is one transaction with the mark that the step is done: all its effects are in PostgreSQL."""

    @classmethod
    def on_bound(cls, _app: Celery) -> None:
        # Here and not in Celery's settings, which know one limit for all queues.
        queue = engine_settings().topology.queue_for(cls.name or "")
        if queue is None:
            return
        if cls.soft_time_limit is None:
            own = cls.time_limit * SOFT_SHARE if cls.time_limit is not None else queue.time_limit.total_seconds()
            cls.soft_time_limit = min(queue.soft_time_limit.total_seconds(), own)
        if cls.time_limit is None:
            cls.time_limit = queue.time_limit.total_seconds()

    def before_start(self, task_id: str, args: Any, kwargs: Any) -> None:
        # Read by the ledger, the metrics and the log line of this run.
        self.request.run_started = time.monotonic()
        super().before_start(task_id, args, kwargs)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        request = self.request
        if request.called_directly or request._protected:  # noqa: SLF001 — Celery's own mark of a run that has begun
            return super().__call__(*args, **kwargs)
        request._protected = 1  # noqa: SLF001 — the same
        soft_limit.begin_run()
        try:
            # A unique job keeps its key while it runs, and also if it is excused: it comes again.
            with held(request):
                return self._run_excused(args, kwargs)
        except Exception as error:
            if self.uses_database and not request.is_eager:
                self._excuse(error)
            raise

    def _run_excused(self, args: Any, kwargs: Any) -> Any:
        try:
            reference = Reference.of(self.request)
            return self.run(*args, **kwargs) if reference is None else self._run_act(reference, args, kwargs)
        except CircuitOpen as error:
            if not self.request.is_eager:
                self._postpone(error)
            raise
        except Exception as error:
            if self.uses_database and not self.request.is_eager:
                self._excuse(error)
            raise

    def _postpone(self, error: CircuitOpen) -> None:
        """Put the job off; where that cannot be done, it is an attempt."""
        seconds = math.ceil(error.retry_after.total_seconds())
        if self.acks_late and times_put_off(self.request) is not None:
            raise PutOff(f"breaker {error.name}", str(error), seconds) from error
        raise self.retry(exc=error, countdown=seconds) from error

    def _run_act(self, reference: Reference, args: Any, kwargs: Any) -> Any:
        # Its models exist only when Django has loaded its apps.
        from app.engine.sagas.running import run_act

        return run_act(self, reference, lambda: self.run(*args, **kwargs), is_excused=self._is_excused)

    def _is_excused(self, error: Exception) -> bool:
        if isinstance(error, CircuitOpen):
            return True
        return self.uses_database and (trouble_of(error) is not None or isinstance(error, EffectUnderWay))

    def _excuse(self, error: Exception) -> None:
        """Raise what becomes of a run that failed by no fault of its own; return for any other."""
        trouble = trouble_of(error)
        obstacle = DATABASE if trouble is Trouble.AWAY else TWIN if isinstance(error, EffectUnderWay) else None
        if obstacle is None and trouble is None:
            return
        times = times_put_off(self.request)
        if obstacle is not None and self.acks_late and times is not None and times < MOST_TIMES_PUT_OFF:
            raise PutOff(obstacle, f"{type(error).__name__}: {error}".strip()) from error
        pause = get_exponential_backoff_interval(self.retry_backoff, self.request.retries, self.retry_backoff_max, self.retry_jitter)
        raise self.retry(exc=error, countdown=pause) from error

    def delay_on_commit(self, *args: Any, **kwargs: Any) -> AsyncResult:
        """The same as ``delay``, which waits for the commit by itself, in the outbox, where a crash cannot lose it."""
        return self.delay(*args, **kwargs)

    def apply_async_on_commit(self, *args: Any, **kwargs: Any) -> AsyncResult:
        """The same as ``apply_async``."""
        return self.apply_async(*args, **kwargs)

    def delay_many(self, jobs: Iterable[Arguments], *, countdown: float | None = None, eta: datetime | None = None) -> list[str]:
        """Start one job for each element of ``jobs``, its keyword or its positional arguments, and return their ids in order.

        Ten messages a request, and a twentieth of the CPU that as many ``delay()`` take. In a transaction, or when they are due
        far off, they wait in the outbox as everything does. Raises ``TypeError`` for arguments that the task does not take,
        before anything is sent, and :class:`~app.engine.broker.errors.PartlySent`.
        """
        if not producer.must_wait(countdown=countdown, eta=eta):
            return publish_many(self, jobs, countdown=countdown, eta=eta)
        return [self.apply_async(args, kwargs, countdown=countdown, eta=eta).id for args, kwargs in checked(self, jobs)]

    def retry(self, *args: Any, **options: Any) -> Any:
        # Raised through the caller's transaction, which rolls back: the message must not be part of it.
        with producer.bypassed():
            try:
                return super().retry(*args, **options)
            except Retry as retried:
                # Read by the ledger: of a job that is retried, people ask when.
                when = retried.when
                told = {"eta": when} if isinstance(when, datetime) else {"countdown": when}
                self.request.retry_due = due_at(now=datetime.now(UTC), **told) or datetime.now(UTC)
                raise
            except Reject as error:
                # The retry could be neither sent nor, if it is due far off, written. Celery would call that a failure for good,
                # although the message comes again.
                raise Reject(error.reason, requeue=True) from error

    def replace(self, *args: Any, **options: Any) -> Any:
        with producer.bypassed():
            return super().replace(*args, **options)
