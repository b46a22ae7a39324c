"""The client of DynamoDB: boto3's face, and the calls that every job makes behind it."""

import json
from collections.abc import Sequence
from typing import Any

from botocore.exceptions import ClientError

from app.engine.aws.wire.connection import LeanClient
from app.engine.aws.wire.curl import MEBIBYTE
from app.engine.aws.wire.errors import NotSent, Unanswered, may_be_the_clock, was_not_accepted

_TARGET = "DynamoDB_20120810"
#: The largest answer that DynamoDB gives is 16 MB, of a BatchGetItem.
LARGEST_ANSWER_BYTES = 17 * MEBIBYTE
#: What was surely not accepted is asked again, so often in all.
ATTEMPTS = 3

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False).encode


class DynamoClient(LeanClient):
    """boto3's DynamoDB client with five lean calls, for items of texts, numbers, booleans, lists, maps and sets of texts.

    The five take and return what boto3's do, without ``ResponseMetadata`` in a good answer; binary values are not theirs. What is
    wrong in a call is DynamoDB's to say: nothing is checked before. They raise ``ClientError``, with ``Item`` in its response
    where DynamoDB shows the item that stood in the way, else :class:`NotSent` or :class:`Unanswered`. What DynamoDB turned away, or
    what never left, is tried three times; nothing whose fate is unknown is repeated.
    """

    def put_item(self, **parameters: Any) -> dict[str, Any]:
        return self._call("PutItem", parameters)

    def update_item(self, **parameters: Any) -> dict[str, Any]:
        return self._call("UpdateItem", parameters)

    def update_items(self, requests: Sequence[dict[str, Any]]) -> list[dict[str, Any] | Exception]:
        """Several :meth:`update_item` at once, by this thread: of each its answer, or what it would raise."""
        try:
            answers = self._connection().ask_together(
                "UpdateItem",
                f"{_TARGET}.UpdateItem",
                [_written(parameters) for parameters in requests],
                timeout=self._answer_timeout,
                limit=LARGEST_ANSWER_BYTES,
            )
        except NotSent as error:  # no credentials, no client
            return [error] * len(requests)
        return [
            self._outcome(parameters, answer) if isinstance(answer, Exception) else _read_or_error("UpdateItem", answer)
            for parameters, answer in zip(requests, answers, strict=True)
        ]

    def _outcome(self, parameters: dict[str, Any], error: Exception) -> dict[str, Any] | Exception:
        """Of a request that failed beside others: DynamoDB's word, or that of another attempt, alone."""
        if not (isinstance(error, ClientError) and (was_not_accepted(error) or may_be_the_clock(error))):
            return error
        try:
            return self.update_item(**parameters)
        except (ClientError, NotSent, Unanswered) as still:
            return still

    def delete_item(self, **parameters: Any) -> dict[str, Any]:
        return self._call("DeleteItem", parameters)

    def batch_write_item(self, **parameters: Any) -> dict[str, Any]:
        return self._call("BatchWriteItem", parameters)

    def batch_get_item(self, **parameters: Any) -> dict[str, Any]:
        return self._call("BatchGetItem", parameters)

    def _call(self, operation: str, parameters: dict[str, Any]) -> dict[str, Any]:
        body = _written(parameters)
        answer = self._ask(
            self._connection(),
            operation,
            f"{_TARGET}.{operation}",
            body,
            timeout=self._answer_timeout,
            limit=LARGEST_ANSWER_BYTES,
            attempts=ATTEMPTS,
        )
        return _read(operation, answer)


def _read(operation: str, answer: bytes) -> dict[str, Any]:
    try:
        read = json.loads(answer)
    except (ValueError, RecursionError) as error:
        raise Unanswered(f"{operation} was answered with what is no answer of DynamoDB: {answer[:200]!r}") from error
    if not isinstance(read, dict):
        raise Unanswered(f"{operation} was answered with what is no answer of DynamoDB: {answer[:200]!r}")
    return read


def _read_or_error(operation: str, answer: bytes) -> dict[str, Any] | Exception:
    try:
        return _read(operation, answer)
    except Unanswered as error:
        return error


def _written(parameters: dict[str, Any]) -> bytes:
    text = _encode(parameters)
    try:
        return text.encode()
    except UnicodeEncodeError:
        # Half a surrogate pair: no text that DynamoDB could keep. Shown as what it is, rather than lost with everything else.
        return text.encode("utf-8", "backslashreplace")
