"""The engine's own tasks."""

import logging
from typing import Any

from celery import shared_task

logger = logging.getLogger(__name__)


@shared_task(name="engine.debug_task", bind=True)
def debug_task(self: Any) -> dict[str, Any]:
    """Prove that a job travels from here to a worker and back. Changes nothing, so it may run any number of times."""
    logger.info("debug task")
    return {"id": self.request.id, "worker": self.request.hostname, "attempt": self.request.retries + 1}
