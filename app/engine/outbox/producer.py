"""Celery builds its message as always, and the outbox takes it instead of the broker: in a transaction, and when it is due far off."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from typing import Any

from celery import Celery
from django.db import connections, transaction
from django.utils import timezone
from kombu.serialization import dumps
from kombu.utils.json import dumps as json_dumps

from app.engine.conf import engine_settings
from app.engine.outbox.due import due_at, is_far_off, leaves_at

_bypassed: ContextVar[bool] = ContextVar("outbox_bypassed", default=False)

#: Arguments of kombu's publish that make no sense hours later, or that the relay decides.
_NOT_STORED = frozenset({"declare", "retry", "retry_policy", "timeout", "confirm_timeout", "exchange", "routing_key", "serializer"})


def is_open() -> bool:
    """Whether a message published now must wait for a commit."""
    return transaction.get_connection().in_atomic_block and not _bypassed.get()


def must_wait(*, countdown: float | None, eta: datetime | str | None) -> bool:
    """Whether a message published now waits in the outbox: for a commit, or because it is due later than SQS could hold it."""
    if is_open():
        return True
    if not countdown and not eta:  # nearly every message
        return False
    now = timezone.now()
    return is_far_off(due_at(countdown=countdown, eta=eta, now=now), now=now, longest_sqs_delay=engine_settings().longest_sqs_delay)


def is_bypassed() -> bool:
    """Whether what is published now belongs to the run and not to its transaction."""
    return _bypassed.get()


@contextmanager
def bypassed() -> Iterator[None]:
    """Publish at once although a transaction is open.

    For messages that belong to the run and not to its transaction: a retry asked for inside ``atomic()`` is raised
    through it, and would be rolled back with it. What is due far off is written on a database connection of its own.
    """
    token = _bypassed.set(True)
    try:
        yield
    finally:
        _bypassed.reset(token)


class OutboxProducer:
    """Stands where Celery expects a kombu producer. The signals of publishing have fired when the row is written."""

    def __init__(self, app: Celery) -> None:
        self.serializer = app.conf.task_serializer
        # Never connects: Celery only asks it to translate errors.
        self.connection = app.connection_for_write()

    def publish(self, body: Any, *, routing_key: str, headers: dict[str, Any], serializer: str | None = None, **options: Any) -> None:
        """Write the row, and wake the relay of this process after the commit unless the job is due far off.

        Raises kombu's ``EncodeError`` for arguments that are not JSON, and Django's database errors.
        """
        from app.engine.outbox.background import background_relay
        from app.engine.outbox.models import OutboxMessage

        content_type, content_encoding, payload = dumps(body, serializer=serializer or self.serializer)
        stored = {name: value for name, value in options.items() if name not in _NOT_STORED and value is not None}
        stored |= {"headers": headers, "content_type": content_type, "content_encoding": content_encoding}
        row = OutboxMessage(
            task_id=headers["id"],
            task=headers["task"],
            queue=routing_key,
            body=payload if isinstance(payload, str) else payload.decode(),
            options=json_dumps(stored),
        )
        longest = engine_settings().longest_sqs_delay
        due = due_at(eta=headers.get("eta"), now=row.created_at)
        if due is not None and is_far_off(due, now=row.created_at, longest_sqs_delay=longest):
            row.due_at, row.next_attempt_at = due, leaves_at(due, longest_sqs_delay=longest)
        if _bypassed.get() and transaction.get_connection().in_atomic_block:
            apart(row.save)
            return
        row.save()
        if row.due_at is None:
            # Robust: what was committed must not turn into an error because a thread cannot start. The relay service sends it.
            transaction.on_commit(background_relay.wake, robust=True)


def apart(write: Callable[[], None]) -> None:
    """Write on a database connection of its own and commit, whatever becomes of the caller's transaction. Raises what it raises."""

    def write_and_hang_up() -> None:
        try:
            write()
        finally:
            connections.close_all()

    # Django's connections belong to threads: another thread is another connection.
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="outbox-apart") as thread:
        thread.submit(write_and_hang_up).result()
