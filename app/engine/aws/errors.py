"""AWS's errors become ours here."""

from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus

from botocore.exceptions import BotoCoreError, ClientError

from app.engine.aws.wire.errors import NotSent, Unanswered
from app.engine.errors import PermanentError, TransientError

#: https://docs.aws.amazon.com/general/latest/gr/api-retries.html and each service's list of errors
_TRANSIENT_CODES = frozenset(
    {
        "InternalError",
        "InternalFailure",
        "InternalServerError",
        "ItemCollectionSizeLimitExceededException",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestTimeout",
        "ServiceUnavailable",
        "ThrottledException",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
        "TransactionInProgressException",
        "ExpiredToken",
        "ExpiredTokenException",
    }
)


class AwsUnavailable(TransientError):
    """A call got no usable answer: refused, timed out, throttled, or a server error."""


class AwsRefused(PermanentError):
    """AWS understood the call and said no: missing permission, missing resource, bad parameter."""


def is_transient(error: BaseException) -> bool:
    """Whether the same call may succeed later. What the wire did not hear an answer to may have been carried out already."""
    if isinstance(error, ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return status >= HTTPStatus.INTERNAL_SERVER_ERROR or error.response.get("Error", {}).get("Code") in _TRANSIENT_CODES
    return isinstance(error, BotoCoreError | OSError | Unanswered)


@contextmanager
def translated(action: str) -> Iterator[None]:
    """Turn the errors of botocore and of the wire into :class:`AwsUnavailable` or :class:`AwsRefused`, saying what was being done."""
    try:
        yield
    except (ClientError, BotoCoreError, NotSent, Unanswered) as error:
        kind = AwsUnavailable if is_transient(error) else AwsRefused
        raise kind(f"Could not {action}: {error}") from error
