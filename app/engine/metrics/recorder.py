"""From Celery's signals to metrics: a line for each run that ended, was retried or failed."""

import time
from datetime import datetime
from typing import Any

from celery import signals, states

from app.engine.conf import engine_settings
from app.engine.metrics.emf import emit, emit_all
from app.topology import metrics


def connect() -> None:
    """Record the runs of this process."""
    signals.task_prerun.connect(_record_wait, dispatch_uid="metrics.wait")
    signals.task_postrun.connect(_record_run, dispatch_uid="metrics.run")
    signals.task_retry.connect(_record_retry, dispatch_uid="metrics.retry")
    signals.task_failure.connect(_record_failure, dispatch_uid="metrics.failure")


def _dimensions(task: Any) -> dict[str, str]:
    return {
        metrics.DEPLOYMENT: engine_settings().name_prefix,
        "Task": task.name,
        "Queue": _queue(task),
    }


def _queue(task: Any) -> str:
    """Of the run; of its route if the worker's main process reports a run that was killed."""
    carried = (task.request.delivery_info or {}).get("routing_key")
    return str(carried or getattr(engine_settings().topology.queue_for(task.name), "name", "?"))


def _record_wait(task: Any, **_: Any) -> None:
    waited_ms = queue_wait_ms(task.request, time.time())
    if waited_ms is not None:
        emit(metrics.TASK_QUEUE_WAIT, waited_ms, _dimensions(task))


def queue_wait_ms(request: Any, now: float) -> float | None:
    """From sent, or due if it was delayed, until now. ``None`` for a run that did not come from SQS."""
    delivery = (getattr(request, "properties", None) or {}).get("delivery_info") or {}
    sent = (delivery.get("sqs_message") or {}).get("Attributes", {}).get("SentTimestamp")
    if sent is None:
        return None
    available = int(sent) / 1000
    if request.eta:
        available = max(available, datetime.fromisoformat(request.eta).timestamp())
    return max(now - available, 0.0) * 1000


def _record_run(task: Any, state: str | None = None, retval: Any = None, **_: Any) -> None:
    if state in (None, states.RETRY) or getattr(retval, "requeue", False):  # given back, put off, or to be tried again: not over
        return
    figures = {metrics.TASK_RUNS: 1.0}
    started = getattr(task.request, "run_started", None)
    if started is not None:
        figures[metrics.TASK_RUN_TIME] = (time.monotonic() - started) * 1000
    emit_all(figures, _dimensions(task))


def _record_retry(sender: Any, **_: Any) -> None:
    emit(metrics.TASK_RETRIES, 1, _dimensions(sender))


def _record_failure(sender: Any, exception: BaseException, **_: Any) -> None:
    emit(metrics.TASK_FAILURES, 1, _dimensions(sender) | {"Exception": type(exception).__name__})
