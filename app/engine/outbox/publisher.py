"""How services start tasks: by name, inside their transaction."""

from collections.abc import Mapping
from typing import Any

from celery import current_app
from django.db import transaction

from app.engine.outbox.errors import NotInTransaction, UnknownTask
from app.engine.task_names import suggestion


def publish(task_name: str, /, **kwargs: Any) -> str:
    """Write the task to the outbox of the open transaction and return the id under which it will run.

    Raises :class:`NotInTransaction` outside ``transaction.atomic()``, :class:`UnknownTask` for a name that no task has,
    ``TypeError`` for arguments that the task does not take and kombu's ``EncodeError`` for arguments that are not JSON.
    """
    return _published(task_name, kwargs)


def publish_as(task_id: str, task_name: str, kwargs: Mapping[str, Any], *, headers: Mapping[str, Any]) -> str:
    """As :func:`publish`, under an id that the caller has chosen, and with headers that travel with the job through its retries."""
    return _published(task_name, kwargs, task_id=task_id, headers=dict(headers))


def _published(task_name: str, kwargs: Mapping[str, Any], **options: Any) -> str:
    if not transaction.get_connection().in_atomic_block:
        raise NotInTransaction(
            f"publish({task_name!r}) needs an open transaction: wrap the change and its publication in transaction.atomic()"
        )
    task = current_app.tasks.get(task_name)
    if task is None:
        raise UnknownTask(f"No task is called {task_name!r}.{suggestion(task_name, current_app.tasks)}")
    return str(task.apply_async(kwargs=dict(kwargs), **options).id)
