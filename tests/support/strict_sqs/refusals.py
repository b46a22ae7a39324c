"""AWS's errors, and what SQS refuses before it looks at a queue.

https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/ and quotas-messages in the developer guide.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

MOST_ENTRIES = 10
MOST_BYTES = 1024 * 1024
MOST_ATTRIBUTES = 10
LONGEST_DELAY_SECONDS = 900
LONGEST_WAIT_SECONDS = 20
LONGEST_VISIBILITY_SECONDS = 43_200

_BATCH_ID = re.compile(r"[\w-]{1,80}", re.ASCII)
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
#: Whose code has a longer form in the header that SDKs of the query protocol's days read.
_LONG_CODES = frozenset(
    {
        "BatchEntryIdsNotDistinct",
        "BatchRequestTooLong",
        "EmptyBatchRequest",
        "InvalidBatchEntryId",
        "MessageNotInflight",
        "TooManyEntriesInBatchRequest",
    }
)


@dataclass(frozen=True, slots=True)
class Refusal:
    """The caller's mistake, as an error of a whole request or of one entry of a batch."""

    code: str
    message: str

    @property
    def query_code(self) -> str:
        return f"AWS.SimpleQueueService.{self.code}" if self.code in _LONG_CODES else self.code

    def of_entry(self, identifier: str) -> dict[str, Any]:
        return {"Id": identifier, "SenderFault": True, "Code": self.query_code, "Message": self.message}


def refusal_of_batch(operation: str, entries: Sequence[Mapping[str, Any]]) -> Refusal | None:
    """Of a whole request with entries."""
    if not entries:
        return Refusal("EmptyBatchRequest", f"There should be at least one {operation}RequestEntry in the request.")
    if len(entries) > MOST_ENTRIES:
        return Refusal(
            "TooManyEntriesInBatchRequest", f"Maximum number of entries per request are {MOST_ENTRIES}. You have sent {len(entries)}."
        )
    seen: set[str] = set()
    for entry in entries:
        identifier = str(entry.get("Id", ""))
        if not _BATCH_ID.fullmatch(identifier):
            return Refusal(
                "InvalidBatchEntryId",
                "A batch entry id can only contain alphanumeric characters, hyphens and underscores. It can be at most 80 letters long.",
            )
        if identifier in seen:
            return Refusal("BatchEntryIdsNotDistinct", f"Id {identifier} repeated.")
        seen.add(identifier)
    if operation == "SendMessageBatch":
        size = sum(map(_size, entries))
        if size > MOST_BYTES:
            return Refusal("BatchRequestTooLong", f"Batch requests cannot be longer than {MOST_BYTES} bytes. You have sent {size} bytes.")
    return None


def refusal_of_message(message: Mapping[str, Any]) -> Refusal | None:
    """Of one message to send, alone or as an entry."""
    body = message.get("MessageBody")
    if not body:
        return Refusal("MissingParameter", "The request must contain the parameter MessageBody.")
    if found := _FORBIDDEN.search(body):
        return Refusal(
            "InvalidMessageContents",
            f"Invalid binary character '#x{ord(found[0]):X}' was found in the message body, the set of allowed characters is "
            "#x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF",
        )
    if _size(message) > MOST_BYTES:
        return Refusal(
            "InvalidParameterValue", f"One or more parameters are invalid. Reason: Message must be shorter than {MOST_BYTES} bytes."
        )
    attributes = message.get("MessageAttributes") or {}
    if len(attributes) > MOST_ATTRIBUTES:
        return Refusal(
            "InvalidParameterValue", f"Number of message attributes [{len(attributes)}] exceeds the allowed maximum [{MOST_ATTRIBUTES}]."
        )
    return _outside(message, "DelaySeconds", 0, LONGEST_DELAY_SECONDS)


def refusal_of_receive(request: Mapping[str, Any]) -> Refusal | None:
    return (
        _outside(request, "MaxNumberOfMessages", 1, MOST_ENTRIES)
        or _outside(request, "WaitTimeSeconds", 0, LONGEST_WAIT_SECONDS)
        or _outside(request, "VisibilityTimeout", 0, LONGEST_VISIBILITY_SECONDS)
    )


def refusal_of_visibility(change: Mapping[str, Any]) -> Refusal | None:
    return _outside(change, "VisibilityTimeout", 0, LONGEST_VISIBILITY_SECONDS)


def _outside(request: Mapping[str, Any], name: str, least: int, most: int) -> Refusal | None:
    value = request.get(name)
    if value is None or least <= int(value) <= most:
        return None
    return Refusal(
        "InvalidParameterValue", f"Value {value} for parameter {name} is invalid. Reason: {name} must be >= {least} and <= {most}."
    )


def _size(message: Mapping[str, Any]) -> int:
    """In bytes, with the names, types and values of its attributes."""
    size = _bytes(message.get("MessageBody") or "")
    for name, attribute in (message.get("MessageAttributes") or {}).items():
        # A binary value is base64 here and counts as the bytes it stands for.
        binary = len(attribute.get("BinaryValue") or "") * 3 // 4
        size += _bytes(name) + _bytes(attribute.get("DataType") or "") + _bytes(attribute.get("StringValue") or "") + binary
    return size


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
