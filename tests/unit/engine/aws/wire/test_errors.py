"""An error of SQS is raised as boto3 raises it."""

import json
from collections.abc import Mapping

import pytest
from botocore.exceptions import ClientError
from kombu.exceptions import OperationalError

from app.engine.aws.wire import NotSent, Unanswered
from app.engine.aws.wire.errors import client_error, may_be_the_clock, was_not_accepted
from tests.unit.engine.aws.wire.recorded_boto import QUEUE_URL, RecordedBoto

MISSING_QUEUE = json.dumps({"__type": "com.amazonaws.sqs#QueueDoesNotExist", "message": "The specified queue does not exist."}).encode()
THROTTLED = json.dumps({"__type": "com.amazon.coral.availability#ThrottlingException", "message": "Rate exceeded"}).encode()
OLD_NAME = {"x-amzn-query-error": "AWS.SimpleQueueService.NonExistentQueue;Sender", "x-amzn-requestid": "r-1"}


@pytest.fixture(scope="module")
def boto() -> RecordedBoto:
    return RecordedBoto()


def ours(boto: RecordedBoto, status: int, headers: Mapping[str, str], body: bytes) -> ClientError:
    return client_error("SendMessage", status, headers, body, boto.client.exceptions.from_code)


@pytest.mark.parametrize(
    ("status", "headers", "body"),
    [
        (400, OLD_NAME, MISSING_QUEUE),
        (400, {}, MISSING_QUEUE),
        (400, {"x-amzn-query-error": "nonsense"}, MISSING_QUEUE),
        (400, {"x-amzn-query-error": "RequestThrottled;Sender"}, THROTTLED),
        (400, {}, b'{"__type": "InvalidMessageContents:http://amazon.com/", "Message": "bad character"}'),
        (403, {}, b'{"__type": "com.amazon.coral.service#AccessDeniedException", "Message": "not yours"}'),
        (404, {}, b"<html>nothing here</html>"),
        (500, {}, b""),
        (502, {}, b"<html>Bad gateway</html>"),
        (503, {}, b"upstream connect error"),
        (503, {"x-amzn-requestid": "r-2"}, b'{"__type": "ServiceUnavailable"}'),
        (307, {"location": "https://elsewhere"}, b""),
    ],
)
def test_an_error_is_the_one_that_boto3_raises(boto: RecordedBoto, status: int, headers: dict[str, str], body: bytes) -> None:
    boto.status, boto.headers, boto.body = status, headers, body
    with pytest.raises(ClientError) as theirs:
        boto.client.send_message(QueueUrl=QUEUE_URL, MessageBody="x")

    error = ours(boto, status, headers, body)

    assert type(error) is type(theirs.value)
    assert str(error) == str(theirs.value).replace(" (reached max retries: 0)", "")
    assert error.operation_name == theirs.value.operation_name
    assert error.response["Error"] == theirs.value.response["Error"]
    retries = {"RetryAttempts": 0, "MaxAttemptsReached": True}
    assert {**retries, **error.response["ResponseMetadata"]} == {**retries, **theirs.value.response["ResponseMetadata"]}


def test_an_error_is_caught_by_its_name_on_the_client(boto: RecordedBoto) -> None:
    with pytest.raises(boto.client.exceptions.QueueDoesNotExist):
        raise ours(boto, 400, OLD_NAME, MISSING_QUEUE)


@pytest.mark.parametrize("body", [b"[]", b"1", b"\xff", b'{"__type": 1}'])
def test_an_error_that_botocore_cannot_read_keeps_its_status(boto: RecordedBoto, body: bytes) -> None:
    error = ours(boto, 503, {}, body)

    assert error.response["Error"]["Code"] == "503"
    assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 503


@pytest.mark.parametrize(
    ("status", "headers", "body", "expected"),
    [
        (503, {}, b"", True),
        (429, {}, b"{}", True),
        (400, {}, THROTTLED, True),
        (400, {"x-amzn-query-error": "RequestThrottled;Sender"}, b'{"__type": "x#Other"}', True),
        (403, {}, b'{"__type": "RequestThrottled"}', True),
        (500, {}, b"", False),
        (502, {}, b"", False),
        (504, {}, b"", False),
        (400, OLD_NAME, MISSING_QUEUE, False),
        (403, {}, b'{"__type": "ExpiredToken"}', False),
    ],
)
def test_only_an_answer_that_turned_the_request_away_invites_to_repeat_it(
    boto: RecordedBoto, status: int, headers: dict[str, str], body: bytes, expected: bool
) -> None:
    assert was_not_accepted(ours(boto, status, headers, body)) is expected


@pytest.mark.parametrize("code", ["SignatureDoesNotMatch", "InvalidSignatureException", "RequestTimeTooSkewed", "RequestExpired"])
def test_a_wrong_clock_is_one_reason_for_a_refused_signature(boto: RecordedBoto, code: str) -> None:
    assert may_be_the_clock(ours(boto, 403, {}, json.dumps({"__type": code}).encode()))
    assert not may_be_the_clock(ours(boto, 403, {}, b'{"__type": "AccessDenied"}'))


def test_kombu_may_repeat_what_was_not_sent_and_must_not_repeat_what_may_have_arrived() -> None:
    assert issubclass(NotSent, OSError)
    assert issubclass(Unanswered, OperationalError)
    assert not issubclass(Unanswered, OSError)
