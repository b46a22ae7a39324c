"""The lines of a run: started, ended."""

import logging
import time
from typing import Any

from celery import signals

from app.engine.conf import engine_settings
from app.engine.logs import context

logger = logging.getLogger("app.engine.tasks")


def connect() -> None:
    """Log the runs of this process."""
    signals.setup_logging.connect(_keep_ours, dispatch_uid="logs.setup")
    signals.task_prerun.connect(_log_start, dispatch_uid="logs.start")
    signals.task_retry.connect(_note_reason, dispatch_uid="logs.retry")
    signals.task_failure.connect(_log_failure, dispatch_uid="logs.failure")
    signals.task_postrun.connect(_log_end, dispatch_uid="logs.end")


def _keep_ours(**_: Any) -> None:
    """A receiver is enough: Celery then leaves logging as Django has set it up."""


def _log_start(task_id: str, task: Any, **_: Any) -> None:
    context.replace(_identity(task_id, task))
    logger.info("task started")


def _identity(task_id: str, task: Any) -> dict[str, Any]:
    request = task.request
    queue = (request.delivery_info or {}).get("routing_key") or getattr(engine_settings().topology.queue_for(task.name), "name", None)
    return {"task_id": task_id, "task": task.name, "queue": queue, "attempt": request.retries + 1, "root_id": request.root_id or task_id}


def _note_reason(reason: Any, **_: Any) -> None:
    logger.warning("task will be retried", extra={"reason": str(getattr(reason, "exc", reason))})


def _log_failure(sender: Any, task_id: str, exception: BaseException, einfo: Any, **_: Any) -> None:
    logger.error(
        "task failed",
        extra={
            # Not from the context: a run that was killed is reported by the worker's main process, which has none.
            **_identity(task_id, sender),
            "error": type(exception).__name__,
            "reason": str(exception),
            "traceback": str(einfo.traceback) if einfo else None,
        },
    )


def _log_end(task: Any, state: str | None = None, **_: Any) -> None:
    started = getattr(task.request, "run_started", None)
    logger.info(
        "task ended",
        extra={
            # No state: the worker gave the message back while it ran.
            "outcome": state.lower() if state else "interrupted",
            "duration_ms": round((time.monotonic() - started) * 1000) if started is not None else None,
        },
    )
    context.replace({})
