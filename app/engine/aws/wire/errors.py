"""What a call raises: whether AWS may have carried it out is in the class.

kombu publishes again after an ``OSError``. That is right for a request that never left, and a second job for one that arrived.
"""

import json
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from botocore.exceptions import ClientError
from kombu.exceptions import OperationalError

#: https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html
_NOT_ACCEPTED_CODES = frozenset(
    {
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "SlowDown",
        "Throttling",
        "ThrottledException",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)
_NOT_ACCEPTED_STATUSES = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})
_CLOCK_CODES = frozenset(
    {
        "InvalidSignatureException",
        "RequestExpired",
        "RequestInTheFuture",
        "RequestTimeTooSkewed",
        "SignatureDoesNotMatch",
        "SignatureExpired",
    }
)


class NotSent(OSError):
    """AWS never had the whole request, so that it surely did nothing: no address, no connection, no TLS, no credentials."""


class Unanswered(OperationalError):
    """AWS may have carried the request out: its answer did not come, not completely, or is not one of its."""


def client_error(
    operation: str, status: int, headers: Mapping[str, str], body: bytes, class_of: Callable[[str | None], type[ClientError]]
) -> ClientError:
    """What botocore makes of the same answer. ``class_of`` is ``client.exceptions.from_code``."""
    # Errors are rare and botocore's reading of them has many corners: it is asked, not imitated.
    from botocore.parsers import create_parser

    try:
        # Without a shape, which the stubs demand: nearly all errors have nothing but a code and a message.
        parsed: Any = create_parser("json").parse({"status_code": status, "headers": headers, "body": body}, None)  # type: ignore[arg-type]
        problem = parsed["Error"]
    except Exception:  # noqa: BLE001 — botocore raises whatever it stumbles over; the status is an answer all the same
        problem = {"Code": str(status), "Message": body[:200].decode(errors="replace")}
        parsed = {"Error": problem, "ResponseMetadata": {"HTTPStatusCode": status, "HTTPHeaders": dict(headers)}}
    if b'"Item"' in body and isinstance(item := _item(body), dict):
        # botocore finds it by the model of the error: the item that stood in the way of a condition.
        parsed["Item"] = item
    # SQS has an old and a new name for each error; botocore shows the old one and takes the class by the new one.
    return class_of(problem.get("QueryErrorCode") or problem.get("Code"))(parsed, operation)


def was_not_accepted(error: ClientError) -> bool:
    """Whether AWS turned the request away before looking at it: it may be sent again. A 500 is not such an answer."""
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return status in _NOT_ACCEPTED_STATUSES or not _NOT_ACCEPTED_CODES.isdisjoint(_codes(error))


def may_be_the_clock(error: ClientError) -> bool:
    """Whether a wrong clock of ours is one of the reasons for such an answer."""
    return not _CLOCK_CODES.isdisjoint(_codes(error))


def _item(body: bytes) -> Any:
    try:
        return json.loads(body).get("Item")
    except (ValueError, AttributeError, RecursionError):
        return None


def _codes(error: ClientError) -> tuple[str, str]:
    problem: Mapping[str, Any] = error.response.get("Error", {})
    return str(problem.get("Code", "")), str(problem.get("QueryErrorCode", ""))
