"""Celery's producer without kombu's connection: what is published within one ``with`` leaves in as few requests as possible.

``delay()`` is one request, as always; ``group()`` and ``chunks()`` publish their parts within one ``with`` and so leave ten a
request.
"""

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from kombu.exceptions import EncodeError
from kombu.serialization import dumps as serialize

from app.engine.broker import envelope
from app.engine.broker.batching import SendBatch
from app.engine.broker.errors import PartlySent
from app.engine.broker.registering import recorded
from app.engine.broker.sending import Sender
from app.engine.job_ledger import Enqueued, JobRegister

_JSON = "json"


class DirectProducer:
    """Stands where Celery expects a kombu producer. Belongs to one thread.

    Everything is sent when the block ends, or nothing, if the block raises. Raises what the wire raises for a single message,
    and :class:`~app.engine.broker.errors.PartlySent` when some of several were refused or not answered for.
    """

    serializer = _JSON

    def __init__(self, sender: Sender, connection: Any, register: JobRegister | None = None) -> None:
        #: Never connects: Celery only asks it to translate errors.
        self.connection = connection
        self._sender = sender
        self._entries: list[dict[str, Any]] = []
        self._ids: list[str] = []
        self._register = register
        self._jobs: list[Enqueued] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        entries, self._entries = self._entries, []
        ids, self._ids = self._ids, []
        jobs, self._jobs = self._jobs, []
        if kind is not None or not entries:
            return
        if self._register is None:
            self._send(entries, ids)
            return
        with recorded(self._register, jobs):
            self._send(entries, ids)

    def _send(self, entries: list[dict[str, Any]], ids: list[str]) -> None:
        if len(entries) == 1:
            self._sender.client().send_message(**entries[0])
            return
        batch = SendBatch()
        for entry in entries:
            batch.send_message(**entry)
        batch.send(self._sender.client())
        if batch.failures or batch.unanswered:
            raise PartlySent(ids, batch.failures, batch.unanswered)

    def publish(
        self,
        body: Any,
        routing_key: str,
        headers: Mapping[str, Any] | None = None,
        serializer: str | None = None,
        content_type: str | None = None,
        content_encoding: str | None = None,
        priority: int | None = None,
        **properties: Any,
    ) -> None:
        """Take a message. Raises kombu's ``EncodeError`` for arguments that the serializer cannot write."""
        serializer = serializer or self.serializer
        if isinstance(body, str) and content_type is not None:
            text = body
        elif serializer == _JSON and not content_type:
            content_type, content_encoding, text = "application/json", "utf-8", _json(body)
        else:
            content_type, content_encoding, payload = serialize(body, serializer=serializer)
            if not isinstance(payload, str):
                raise EncodeError(f"{serializer!r} does not write text, and a message of SQS is text")
            text = payload
        kept = {name: value for name, value in properties.items() if name not in _OF_KOMBU}
        kept |= {"priority": priority or 0, "body_encoding": "utf-8", "delivery_info": {"exchange": "", "routing_key": routing_key}}
        message = {
            "body": text,
            "content-type": content_type,
            "content-encoding": content_encoding,
            "headers": headers or {},
            "properties": kept,
        }
        entry = self._sender.entry(routing_key, message)
        self._entries.append(entry)
        self._ids.append(str((headers or {}).get("id", "")))
        if self._register is not None and headers:
            self._jobs.append(Enqueued(headers=headers, queue=routing_key, tenant=entry.get("MessageGroupId"), body=body))


#: Arguments of kombu's ``publish`` that speak of connections, exchanges and confirmations.
_OF_KOMBU = frozenset(
    {
        "exchange",
        "declare",
        "retry",
        "retry_policy",
        "timeout",
        "confirm_timeout",
        "delivery_mode",
        "mandatory",
        "immediate",
        "compression",
        "expiration",
    }
)


def _json(body: Any) -> str:
    try:
        return envelope.dumps(body)
    except (TypeError, ValueError) as error:
        raise EncodeError(str(error)) from error
