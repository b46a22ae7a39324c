"""Whether the same call may succeed later."""

import pytest
from botocore.exceptions import ConnectTimeoutError, EndpointConnectionError, ReadTimeoutError

from app.engine.aws.errors import AwsRefused, AwsUnavailable, is_transient, translated
from app.engine.errors import PermanentError, TransientError
from tests.unit.engine.broker.fake_sqs import client_error


@pytest.mark.parametrize(
    "code",
    [
        "RequestThrottled",
        "ThrottlingException",
        "Throttling",
        "TooManyRequestsException",
        "RequestLimitExceeded",
        "ProvisionedThroughputExceededException",
        "TransactionInProgressException",
        "InternalServerError",
        "ServiceUnavailable",
        "ExpiredTokenException",
    ],
)
def test_throttling_server_errors_and_expired_credentials_may_succeed_later(code: str) -> None:
    assert is_transient(client_error(code))


@pytest.mark.parametrize(
    "code",
    [
        "AccessDenied",
        "AccessDeniedException",
        "AWS.SimpleQueueService.NonExistentQueue",
        "ConditionalCheckFailedException",
        "InvalidMessageContents",
        "InvalidParameterValue",
        "ReceiptHandleIsInvalid",
        "ResourceNotFoundException",
        "SignatureDoesNotMatch",
        "ValidationException",
        "",
    ],
)
def test_what_was_understood_and_refused_will_be_refused_again(code: str) -> None:
    assert not is_transient(client_error(code))


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_server_error_is_transient_whatever_its_code(status: int) -> None:
    assert is_transient(client_error("SomethingNew", status))


@pytest.mark.parametrize(
    "error",
    [
        EndpointConnectionError(endpoint_url="http://sqs"),
        ConnectTimeoutError(endpoint_url="http://sqs"),
        ReadTimeoutError(endpoint_url="http://sqs"),
        ConnectionResetError(),
        TimeoutError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_no_answer_is_transient(error: Exception) -> None:
    assert is_transient(error)


@pytest.mark.parametrize("error", [ValueError("ours"), KeyError("ours")])
def test_a_bug_is_not_transient(error: Exception) -> None:
    assert not is_transient(error)


def test_a_transient_error_becomes_unavailable_and_says_what_was_being_done() -> None:
    cause = client_error("ThrottlingException")

    with (
        pytest.raises(AwsUnavailable, match=r"^Could not read the list of workers: .*ThrottlingException") as raised,
        translated("read the list of workers"),
    ):
        raise cause

    assert isinstance(raised.value, TransientError)
    assert raised.value.__cause__ is cause


def test_a_refusal_becomes_refused() -> None:
    with pytest.raises(AwsRefused, match="Could not report this worker") as raised, translated("report this worker"):
        raise client_error("AccessDenied", 403)

    assert isinstance(raised.value, PermanentError)


def test_a_bug_passes_unchanged() -> None:
    with pytest.raises(ZeroDivisionError), translated("divide"):
        _ = 1 / 0
