"""From a message to the parameters of ``SendMessage``, and to SQS."""

import hashlib
import os
import time
from collections.abc import Callable, Mapping
from typing import Any

from app.engine.broker import claim_check, envelope
from app.engine.broker.delays import asked_delay, delay_seconds, due_at
from app.engine.broker.errors import MessageTooLarge, UndefinedQueue
from app.engine.broker.options import LARGEST_MESSAGE_BYTES, BrokerOptions


class Sender:
    """Knows the queues and what belongs into a message. May be shared by threads and goes on in a forked child."""

    def __init__(self, options: BrokerOptions, client: Callable[[], Any], claims: claim_check.ClaimChecks | None) -> None:
        self._options = options
        self._claims = claims
        self.client = client

    def entry(self, queue: str, message: Mapping[str, Any]) -> dict[str, Any]:
        """The parameters of ``SendMessage``. ``message`` is kombu's: body (text), headers, properties, content type.

        Raises :class:`~app.engine.broker.errors.UndefinedQueue` and :class:`~app.engine.broker.errors.MessageTooLarge`.
        """
        headers, properties = message.get("headers") or {}, message.get("properties") or {}
        if isinstance(message["body"], bytes):
            # What is published with a content type of its own, kombu encodes.
            message = {**message, "body": message["body"].decode()}
        entry: dict[str, Any] = {"QueueUrl": self.url(queue)}
        if attributes := properties.get("message_attributes"):
            entry["MessageAttributes"] = attributes
        if tenant := self.tenant_of(headers, properties):
            entry["MessageGroupId"] = tenant
        delay = asked_delay(properties)
        if headers.get("eta"):
            delay = max(delay, delay_seconds(due_at(headers), time.time(), self._options.longest_delay_seconds))
        if queue.endswith(".fifo"):
            # SQS takes no delay for a message of a FIFO queue. The worker puts it off.
            entry.setdefault("MessageGroupId", queue)
            entry["MessageDeduplicationId"] = properties.get("MessageDeduplicationId") or _deduplication_id(headers)
        elif delay:
            entry["DelaySeconds"] = delay
        entry["MessageBody"] = self._fitting(queue, message)
        return entry

    def tenant_of(self, headers: Mapping[str, Any], properties: Mapping[str, Any]) -> str | None:
        tenant = properties.get("MessageGroupId") or headers.get(self._options.tenant_header)
        return str(tenant) if tenant else None

    def may_be_large(self, body: str) -> bool:
        """Whether :meth:`entry` might do more with this body than to encode it."""
        return len(body) > LARGEST_MESSAGE_BYTES // 16 or (self._claims is not None and self._claims.is_needed(body, 2 * len(body)))

    def url(self, queue: str) -> str:
        try:
            return self._options.queues[queue].url
        except KeyError:
            known = ", ".join(sorted(self._options.queues))
            raise UndefinedQueue(f"No queue is called {queue!r} in predefined_queues. There are {known}.") from None

    def _fitting(self, queue: str, message: Mapping[str, Any]) -> str:
        text = envelope.encode(message)
        if self._claims is not None and self._claims.is_needed(message["body"], len(text)):
            headers = message.get("headers") or {}
            claim = self._claims.put(message["body"], queue, str(headers.get("id", "message")))
            text = envelope.encode({**message, "body": "", "headers": {**headers, claim_check.HEADER: claim}})
        # A character is at most four bytes: most messages need no second count.
        if len(text) > LARGEST_MESSAGE_BYTES // 4 and (size := len(text.encode("utf-8", "surrogatepass"))) > LARGEST_MESSAGE_BYTES:
            raise MessageTooLarge(
                f"The message has {size} bytes, SQS takes {LARGEST_MESSAGE_BYTES}. Pass an id instead of the data, "
                "or set claim_check in broker_transport_options, which carries the arguments but not the headers."
            )
        return text


def _deduplication_id(headers: Mapping[str, Any]) -> str:
    """Of the job's message. A retry and a replacement have the job's id, and within five minutes SQS would throw them away."""
    if not headers.get("id"):
        return os.urandom(16).hex()
    parts = (headers["id"], headers.get("retries") or 0, headers.get("replaced_task_nesting") or 0)
    return hashlib.sha256(repr(parts).encode("utf-8", "backslashreplace")).hexdigest()
