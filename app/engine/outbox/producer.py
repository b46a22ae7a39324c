"""``delay()`` inside a transaction: Celery builds its message as always, and the outbox takes it instead of the broker."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from celery import Celery
from django.db import transaction
from kombu.serialization import dumps
from kombu.utils.json import dumps as json_dumps

_bypassed: ContextVar[bool] = ContextVar("outbox_bypassed", default=False)

#: Arguments of kombu's publish that make no sense hours later, or that the relay decides.
_NOT_STORED = frozenset({"declare", "retry", "retry_policy", "timeout", "confirm_timeout", "exchange", "routing_key", "serializer"})


def is_open() -> bool:
    """Whether a message published now must wait for a commit."""
    return transaction.get_connection().in_atomic_block and not _bypassed.get()


@contextmanager
def bypassed() -> Iterator[None]:
    """Send at once although a transaction is open.

    For messages that belong to the run and not to its transaction: a retry asked for inside ``atomic()`` is raised
    through it, and would be rolled back with it.
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
        """Write the row and wake the relay of this process after the commit. Raises kombu's ``EncodeError`` for arguments that are not JSON."""
        from app.engine.outbox.background import background_relay
        from app.engine.outbox.models import OutboxMessage

        content_type, content_encoding, payload = dumps(body, serializer=serializer or self.serializer)
        stored = {name: value for name, value in options.items() if name not in _NOT_STORED and value is not None}
        stored |= {"headers": headers, "content_type": content_type, "content_encoding": content_encoding}
        OutboxMessage.objects.create(
            task_id=headers["id"],
            task=headers["task"],
            queue=routing_key,
            body=payload if isinstance(payload, str) else payload.decode(),
            options=json_dumps(stored),
        )
        # Robust: what was committed must not turn into an error because a thread cannot start. The relay service sends it.
        transaction.on_commit(background_relay.wake, robust=True)
