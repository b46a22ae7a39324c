"""The engine's own tasks."""

import logging
import time
from typing import Any

from celery import shared_task

logger = logging.getLogger(__name__)


@shared_task(name="engine.debug_task", bind=True)
def debug_task(self: Any, seconds: float = 0) -> dict[str, Any]:
    """Prove that a job travels from here to a worker and back, and keep its slot for that many seconds.

    For drills: what becomes of a long run when its worker stops. Changes nothing, so it may run any number of times.
    """
    logger.info("debug task")
    time.sleep(seconds)
    return {"id": self.request.id, "worker": self.request.hostname, "attempt": self.request.retries + 1}


@shared_task(name="engine.forget_old_effects")
def forget_old_effects() -> int:
    """Delete notes of effects that no message can ask for any more. Twice or killed half-way: each batch is a transaction, rows go once."""
    # Its models exist only when Django has loaded its apps.
    from app.engine.effects.forgetting import forget_old

    return forget_old()
