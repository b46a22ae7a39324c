"""The message of one job, as long as it is in the outbox."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, kw_only=True, slots=True)
class WaitingMessage:
    task: str
    queue: str
    created_at: datetime
    due_at: datetime | None
    attempts: int
    """Sends in vain."""
    last_error: str
    headers: Mapping[str, Any]


def waiting_message(task_id: str) -> WaitingMessage | None:
    """The latest, if a job has two: a relay that died between sending and deleting has left one. Raises Django's database errors."""
    # Its models exist only when Django has loaded its apps.
    from app.engine.outbox.models import OutboxMessage

    row = OutboxMessage.objects.filter(task_id=task_id).order_by("-id").first()
    if row is None:
        return None
    return WaitingMessage(
        task=row.task,
        queue=row.queue,
        created_at=row.created_at,
        due_at=row.due_at,
        attempts=row.attempts,
        last_error=row.last_error,
        headers=_headers(row.options),
    )


def _headers(options: str) -> Mapping[str, Any]:
    try:
        headers = json.loads(options)["headers"]
    except (ValueError, KeyError, TypeError):
        return {}
    return headers if isinstance(headers, dict) else {}
