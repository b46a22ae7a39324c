"""A message that will never succeed goes to its queue's dead letters at once, as it came, with its cause beside it.

The body is the original one, so that redriving it is sending it back. The cause stands in two message attributes:
``reason`` (one of :class:`Reason` or of the inspection's slugs) and ``cause`` (JSON, readable in the SQS console). A job that was sent
back before says so in a third, ``redrive``.
What SQS's own redrive policy moves (a job that kills its worker) carries neither.
"""

import json
import re
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from app.engine.broker.lineage import REDRIVE
from app.engine.broker.options import LARGEST_MESSAGE_BYTES
from app.engine.broker.received import CAUSE, REASON, Received
from app.engine.failures import fingerprint, kind_of, place_in, place_of, text_of
from app.engine.job_ledger import RecordedFailure

#: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-message-metadata.html
MOST_ATTRIBUTES = 10
LONGEST_MESSAGE = 1000
LONGEST_ERROR = 500
#: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Reason(StrEnum):
    FAILED = "failed"
    """The task raised what is not retried, or what was retried often enough, or ran into its hard time limit."""
    REJECTED = "rejected"
    """The task raised ``Reject``, or Celery would not run the message."""
    UNKNOWN_TASK = "unknown-task"
    """No worker knew the task for as long as such a message is parked."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cause:
    """Why a message is a dead letter."""

    reason: str
    message: str
    exception: str = ""
    """Its class, with its module."""
    fingerprint: str = ""
    """Equal for failures that are the same problem: of exception class, place and message without its figures."""
    task: str = ""
    task_id: str = ""
    attempts: int = 0
    """Runs, the first one and the retries."""
    release: str = ""
    """Of the worker."""
    queue: str = ""
    failed_at: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))

    @property
    def error(self) -> str:
        """In one line."""
        return f"{self.exception or self.reason}: {self.message}"[:LONGEST_ERROR]


def failure(error: BaseException, *, task: str, attempts: int, text: str | None = None, trace: str = "") -> Cause:
    """The cause that an exception makes. ``text`` and ``trace`` stand for those of an exception that came from a child process."""
    return _failed(
        kind=kind_of(error),
        message=text_of(error) if text is None else text,
        place=place_in(trace) or place_of(error.__traceback__),
        task=task,
        attempts=attempts,
    )


def recorded(failure: RecordedFailure, *, task: str) -> Cause:
    """The cause of a run that is known from its record only."""
    return _failed(kind=failure.exception, message=failure.message, place=place_in(failure.trace), task=task, attempts=failure.attempts)


def _failed(*, kind: str, message: str, place: str, task: str, attempts: int) -> Cause:
    return Cause(
        reason=Reason.FAILED,
        message=message[:LONGEST_MESSAGE],
        exception=kind,
        fingerprint=fingerprint(task, kind, message, place),
        task=task,
        attempts=attempts,
    )


def dead_letter(received: Received, cause: Cause) -> dict[str, Any]:
    """The entry of ``SendMessageBatch`` for the dead letters. Attributes, the message's own last, are kept as long as there is room.

    A body that fills a message by itself goes without a cause rather than not at all.
    """
    body: str = received.raw["Body"]
    wanted: dict[str, Any] = {
        REASON: {"DataType": "String", "StringValue": _allowed(cause.reason)},
        CAUSE: {"DataType": "String", "StringValue": json.dumps(asdict(cause), ensure_ascii=True, separators=(",", ":"))},
    }
    if received.lineage is not None:
        wanted[REDRIVE] = received.lineage.as_attribute()
    wanted |= {name: value for name, value in received.message_attributes.items() if name not in wanted}
    room = LARGEST_MESSAGE_BYTES - len(body.encode("utf-8", "surrogatepass"))
    attributes: dict[str, Any] = {}
    for name, value in wanted.items():
        size = attribute_bytes(name, value)
        if len(attributes) < MOST_ATTRIBUTES and size <= room:
            attributes[name] = value
            room -= size
    entry: dict[str, Any] = {"MessageBody": body}
    if attributes:
        entry["MessageAttributes"] = attributes
    group = (received.raw.get("Attributes") or {}).get("MessageGroupId")
    if group:
        entry["MessageGroupId"] = group
    if received.url.endswith(".fifo"):
        # Then its dead letters are a FIFO queue, too, which may not make an id of the body.
        entry["MessageDeduplicationId"] = received.message_id
    return entry


def _allowed(text: str) -> str:
    """SQS takes no empty value, and not every character."""
    return _FORBIDDEN.sub("\ufffd", text) or "-"


def attribute_bytes(name: str, attribute: dict[str, Any]) -> int:
    """As SQS counts it: name, type and value."""
    value = attribute.get("BinaryValue") or attribute.get("StringValue", "").encode("utf-8", "surrogatepass")
    return len(name.encode()) + len(attribute.get("DataType", "").encode()) + len(value)
