"""One task for each queue, which does one thing at a time: ``payments.exercise`` travels on ``default``, and so on.

Each may run twice, and does no harm: what it writes is its own.
"""

import time
from typing import Any

from celery import chord, current_app, shared_task

from app.topology import TOPOLOGY, QueuePolicy
from scripts.rehearsal.exercises.names import task_name

#: More than an item of the ledger holds.
_LARGE = 120_000
#: A body that is laid down beside its message.
_LARGE_BODY = 300_000
#: The queues whose jobs make files.
_MAKE_FILES = ("cpu_intensive", "reports")
#: The heartbeat renews a message at a third of its visibility timeout.
_SHARE_OF_VISIBILITY = 0.5


def _send_to_all() -> str:
    for other in TOPOLOGY.queues:
        current_app.send_task(task_name(other), kwargs={"step": "rest"})
    return "sent"


def _retry_with_large_body(task: Any, text: str) -> str:
    """The body goes to S3 again, by the hand of the worker."""
    if task.request.retries == 0:
        raise task.retry(countdown=1, max_retries=1)
    return f"{len(text)} characters came"


def _take_long(queue: QueuePolicy) -> str:
    """Until the heartbeat has renewed the message, and the run is worth protecting."""
    time.sleep(queue.visibility_timeout.total_seconds() * _SHARE_OF_VISIBILITY)
    return "slept"


def _handle_files(name: str) -> str:
    from django.core.files.base import ContentFile
    from django.core.files.storage import default_storage

    saved = default_storage.save(f"exercises/{name}", ContentFile(b"file"))
    with default_storage.open(saved) as file:
        content = file.read()
    default_storage.listdir("exercises/")
    default_storage.delete(saved)
    return f"{len(content)} bytes"


def _start_chord(task: Any, queue: QueuePolicy, text: str) -> str:
    """Of all that a job may do; ``text`` is the id of its body."""
    steps = ["send", "retry", "much", "long", *(["files"] if queue.name in _MAKE_FILES else [])]
    parts = [task.s(step=step, text="x" * (_LARGE_BODY if step == "retry" else 1)) for step in steps]
    chord(parts)(task.s(step="rest").set(task_id=text))
    return "started"


def _do(step: str, task: Any, queue: QueuePolicy, text: str) -> str:
    match step:
        case "send":
            return _send_to_all()
        case "retry":
            return _retry_with_large_body(task, text)
        case "much":
            return "x" * _LARGE
        case "long":
            return _take_long(queue)
        case "files":
            return _handle_files(task.request.id)
        case "chord":
            return _start_chord(task, queue, text)
        case "rest":
            return "rested"
    raise ValueError(f"There is no step {step!r}.")


def _register(queue: QueuePolicy) -> None:
    @shared_task(name=task_name(queue), bind=True)  # type: ignore[untyped-decorator]  # Celery has no annotations
    def exercise(self: Any, parts: list[str] | None = None, *, step: str, text: str = "") -> str:  # noqa: ARG001 — a chord gives them
        return _do(step, self, queue, text)


for _queue in TOPOLOGY.queues:
    _register(_queue)
