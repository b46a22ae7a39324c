"""The seven operations: what they take, how that is written, and how their answers are read.

Written by hand, because botocore walks its model for every call, and compared with that model in a test.
"""

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from app.engine.aws.wire.errors import Unanswered

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False).encode
_encode_escaped = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode
_decode = json.JSONDecoder().decode

_NO_TYPES: Mapping[str, type] = {}
_MESSAGE_TYPES: Mapping[str, type] = {
    "MessageBody": str,
    "DelaySeconds": int,
    "MessageAttributes": dict,
    "MessageSystemAttributes": dict,
    "MessageDeduplicationId": str,
    "MessageGroupId": str,
}
_ATTRIBUTE_TYPES: Mapping[str, type] = {"DataType": str, "StringValue": str, "BinaryValue": bytes}
_ATTRIBUTE_REQUIRED = frozenset({"DataType"})
_ATTRIBUTE_MAPS = ("MessageAttributes", "MessageSystemAttributes")


@dataclass(frozen=True, kw_only=True, slots=True)
class Operation:
    """One operation of SQS's JSON protocol."""

    name: str
    types: Mapping[str, type]
    """The parameters by name."""
    required: frozenset[str]
    entry_types: Mapping[str, type] = field(default_factory=lambda: _NO_TYPES)
    """The same for each of the ``Entries`` of a batch."""
    entry_required: frozenset[str] = frozenset()
    attempts: int = 1
    read: Callable[[Any], dict[str, Any]]
    """Puts a decoded answer (``None`` if it was empty) into botocore's shape; raises whatever it stumbles over."""

    @property
    def target(self) -> str:
        return f"AmazonSQS.{self.name}"

    def is_surely_valid(self, parameters: Mapping[str, Any]) -> bool:
        """Whether botocore would take these, too. If not, it may still: ask it, it words its refusals well."""
        if not _fit(parameters, self.types, self.required):
            return False
        if not self.entry_types:
            return _attributes_fit(parameters) and all(_are_texts(value) for value in parameters.values() if type(value) is list)
        return all(
            type(entry) is dict and _fit(entry, self.entry_types, self.entry_required) and _attributes_fit(entry)
            for entry in parameters["Entries"]
        )

    def write(self, parameters: Mapping[str, Any]) -> bytes:
        """The body of the request."""
        if "MessageBody" in self.types:
            parameters = _with_base64(parameters)
        elif "MessageBody" in self.entry_types:
            parameters = {**parameters, "Entries": [_with_base64(entry) for entry in parameters["Entries"]]}
        text = _encode(parameters)
        try:
            return text.encode()
        except UnicodeEncodeError:
            # Half a surrogate pair. SQS says what it thinks of that, as it does through boto3.
            return _encode_escaped(parameters).encode()

    def read_answer(self, body: bytes) -> dict[str, Any]:
        """What boto3 would return, but for ``ResponseMetadata``. Raises :class:`Unanswered` for what SQS cannot have said."""
        try:
            return self.read(_decode(body.decode()) if body else None)
        except (ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
            raise Unanswered(f"{self.name} was answered with what is no answer of SQS: {body[:200]!r}") from error


def _fit(values: Mapping[str, Any], types: Mapping[str, type], required: frozenset[str]) -> bool:
    if not values.keys() >= required:
        return False
    for name, value in values.items():  # noqa: SIM110 — a generator costs more than this loop
        if type(value) is not types.get(name):
            return False
    return True


def _attributes_fit(message: Mapping[str, Any]) -> bool:
    for key in _ATTRIBUTE_MAPS:
        if key in message:
            for name, attribute in message[key].items():
                if type(name) is not str or type(attribute) is not dict or not _fit(attribute, _ATTRIBUTE_TYPES, _ATTRIBUTE_REQUIRED):
                    return False
    return True


def _are_texts(values: list[Any]) -> bool:
    return all(type(value) is str for value in values)


def _with_base64(message: Mapping[str, Any]) -> Mapping[str, Any]:
    for key in _ATTRIBUTE_MAPS:
        if key in message:
            message = {**message, key: {name: _attribute_with_base64(attribute) for name, attribute in message[key].items()}}
    return message


def _attribute_with_base64(attribute: Mapping[str, Any]) -> dict[str, Any]:
    written = dict(attribute)
    if "BinaryValue" in written:
        written["BinaryValue"] = _base64(written["BinaryValue"])
    if "BinaryListValues" in written:
        written["BinaryListValues"] = [_base64(value) for value in written["BinaryListValues"]]
    return written


def _base64(value: bytes | bytearray | str) -> str:
    return base64.b64encode(value.encode() if isinstance(value, str) else value).decode()


def _read_nothing(answer: Any) -> dict[str, Any]:
    if answer is not None and not isinstance(answer, dict):
        raise TypeError("neither nothing nor an object")
    return {}


def _read_sent(answer: Any) -> dict[str, Any]:
    if not isinstance(answer["MessageId"], str):
        raise TypeError("no identity")
    return _without_nulls(answer)


def _read_batch(answer: Any) -> dict[str, Any]:
    read = _without_nulls(answer)
    outcomes = [*read.get("Successful", ()), *read.get("Failed", ())]
    if not outcomes or not all(isinstance(outcome["Id"], str) for outcome in outcomes):
        raise TypeError("says of no entry what became of it")
    return read


def _read_received(answer: Any) -> dict[str, Any]:
    read = _without_nulls(answer)
    for message in read.get("Messages", ()):
        if not isinstance(message["ReceiptHandle"], str):
            raise TypeError("no receipt handle")
        for attribute in message.get("MessageAttributes", {}).values():
            if "BinaryValue" in attribute:
                attribute["BinaryValue"] = base64.b64decode(attribute["BinaryValue"])
            if "BinaryListValues" in attribute:
                attribute["BinaryListValues"] = [base64.b64decode(value) for value in attribute["BinaryListValues"]]
    return read


def _without_nulls(answer: Any) -> dict[str, Any]:
    return {name: value for name, value in answer.items() if value is not None}


_HANDLE_TYPES: Mapping[str, type] = {"ReceiptHandle": str}
_VISIBILITY_TYPES: Mapping[str, type] = {**_HANDLE_TYPES, "VisibilityTimeout": int}
_BATCH_TYPES: Mapping[str, type] = {"QueueUrl": str, "Entries": list}
_BATCH_REQUIRED = frozenset(_BATCH_TYPES)
#: A message that SQS turned away is sent again, by these alone: all others have callers that come back anyway.
_ATTEMPTS = 3

SEND_MESSAGE = Operation(
    name="SendMessage",
    types={"QueueUrl": str, **_MESSAGE_TYPES},
    required=frozenset({"QueueUrl", "MessageBody"}),
    attempts=_ATTEMPTS,
    read=_read_sent,
)
SEND_MESSAGE_BATCH = Operation(
    name="SendMessageBatch",
    types=_BATCH_TYPES,
    required=_BATCH_REQUIRED,
    entry_types={"Id": str, **_MESSAGE_TYPES},
    entry_required=frozenset({"Id", "MessageBody"}),
    attempts=_ATTEMPTS,
    read=_read_batch,
)
RECEIVE_MESSAGE = Operation(
    name="ReceiveMessage",
    types={
        "QueueUrl": str,
        "AttributeNames": list,
        "MessageSystemAttributeNames": list,
        "MessageAttributeNames": list,
        "MaxNumberOfMessages": int,
        "VisibilityTimeout": int,
        "WaitTimeSeconds": int,
        "ReceiveRequestAttemptId": str,
    },
    required=frozenset({"QueueUrl"}),
    read=_read_received,
)
DELETE_MESSAGE = Operation(
    name="DeleteMessage",
    types={"QueueUrl": str, **_HANDLE_TYPES},
    required=frozenset({"QueueUrl", *_HANDLE_TYPES}),
    read=_read_nothing,
)
DELETE_MESSAGE_BATCH = Operation(
    name="DeleteMessageBatch",
    types=_BATCH_TYPES,
    required=_BATCH_REQUIRED,
    entry_types={"Id": str, **_HANDLE_TYPES},
    entry_required=frozenset({"Id", *_HANDLE_TYPES}),
    read=_read_batch,
)
CHANGE_MESSAGE_VISIBILITY = Operation(
    name="ChangeMessageVisibility",
    types={"QueueUrl": str, **_VISIBILITY_TYPES},
    required=frozenset({"QueueUrl", *_VISIBILITY_TYPES}),
    read=_read_nothing,
)
CHANGE_MESSAGE_VISIBILITY_BATCH = Operation(
    name="ChangeMessageVisibilityBatch",
    types=_BATCH_TYPES,
    required=_BATCH_REQUIRED,
    entry_types={"Id": str, **_VISIBILITY_TYPES},
    entry_required=frozenset({"Id", *_HANDLE_TYPES}),
    read=_read_batch,
)
OPERATIONS = (
    SEND_MESSAGE,
    SEND_MESSAGE_BATCH,
    RECEIVE_MESSAGE,
    DELETE_MESSAGE,
    DELETE_MESSAGE_BATCH,
    CHANGE_MESSAGE_VISIBILITY,
    CHANGE_MESSAGE_VISIBILITY_BATCH,
)
