"""What the lean client of DynamoDB asks, and what it makes of the answers, is what boto3 asks and makes."""

import json
import threading
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from app.engine.aws.wire import DynamoClient, NotSent, Unanswered
from app.engine.aws.wire.curl import Answer, Http
from tests.unit.engine.aws.wire.recorded_boto import RecordedBoto

ITEM = {"id": {"S": "Ünïcode \U0001f389"}, "n": {"N": "1"}, "all": {"L": [{"BOOL": True}, {"M": {"x": {"SS": ["a", "b"]}}}]}}
KEY = {"id": {"S": "1"}}
CALLS: list[tuple[str, dict[str, Any]]] = [
    (
        "put_item",
        {
            "TableName": "t",
            "Item": ITEM,
            "ConditionExpression": "attribute_not_exists(id)",
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        },
    ),
    (
        "update_item",
        {
            "TableName": "t",
            "Key": KEY,
            "UpdateExpression": "SET #s = :s",
            "ExpressionAttributeNames": {"#s": "state"},
            "ExpressionAttributeValues": {":s": {"S": "x"}},
        },
    ),
    ("delete_item", {"TableName": "t", "Key": KEY}),
    ("batch_write_item", {"RequestItems": {"t": [{"PutRequest": {"Item": ITEM}}]}}),
    ("batch_get_item", {"RequestItems": {"t": {"Keys": [KEY], "ConsistentRead": True}}}),
]


class Network:
    """Stands where ``Http.post`` goes out."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.answer = Answer(200, b"", b"{}")
        self._thread = threading.get_ident()
        monkeypatch.setattr(Http, "post", self._post)

    def _post(self, url: str, headers: list[str], body: bytes, _timeout: float, _limit: int) -> Answer:
        if threading.get_ident() != self._thread:
            raise NotSent("This is the network of one test, and not for the threads that others have left.")
        self.requests.append((url, dict(line.split(": ", 1) for line in headers), body))
        return self.answer


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Network:
    return Network(monkeypatch)


def client_of(boto: RecordedBoto) -> DynamoClient:
    return DynamoClient(lambda: boto.client, pause=lambda _: None)


@pytest.mark.parametrize(("method", "parameters"), CALLS, ids=[name for name, _ in CALLS])
def test_a_request_is_the_one_that_boto3_sends(network: Network, method: str, parameters: dict[str, Any]) -> None:
    boto = RecordedBoto("dynamodb")
    getattr(boto.client, method)(**parameters)
    getattr(client_of(boto), method)(**parameters)

    ((url, headers, body),) = network.requests
    (theirs,) = boto.requests
    assert json.loads(body) == json.loads(_text(theirs.body))
    assert headers["X-Amz-Target"] == _text(theirs.headers["X-Amz-Target"])
    assert headers["Content-Type"] == _text(theirs.headers["Content-Type"])
    assert url.rstrip("/") == str(theirs.url).rstrip("/")


def _text(value: Any) -> str:
    """botocore keeps some headers as bytes."""
    return value.decode() if isinstance(value, bytes) else str(value)


def test_a_failed_condition_shows_the_item_that_stood_in_the_way(network: Network) -> None:
    said = {"__type": "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException", "message": "no", "Item": ITEM}
    network.answer = Answer(400, b"HTTP/1.1 400 Bad Request\r\n\r\n", json.dumps(said).encode())

    with pytest.raises(ClientError) as raised:
        client_of(RecordedBoto("dynamodb")).put_item(TableName="t", Item=ITEM)

    assert raised.value.response["Error"]["Code"] == "ConditionalCheckFailedException"
    assert raised.value.response["Item"] == ITEM  # type: ignore[typeddict-item]


def _throttled() -> Answer:
    said = {"__type": "com.amazonaws.dynamodb.v20120810#ThrottlingException", "message": "slow down"}
    return Answer(400, b"HTTP/1.1 400 Bad Request\r\n\r\n", json.dumps(said).encode())


def _broken() -> Answer:
    return Answer(500, b"HTTP/1.1 500 Internal Server Error\r\n\r\n", b"{}")


@pytest.mark.parametrize(("answer", "requests"), [(_throttled, 3), (_broken, 1)])
def test_only_what_was_surely_not_accepted_is_asked_again(network: Network, answer: Callable[[], Answer], requests: int) -> None:
    network.answer = answer()

    with pytest.raises(ClientError):
        client_of(RecordedBoto("dynamodb")).put_item(TableName="t", Item=ITEM)

    assert len(network.requests) == requests


@pytest.mark.parametrize("body", [b"", b"[]", b"<html>", b"[" * 100_000])
def test_what_dynamodb_cannot_have_said_is_no_answer(network: Network, body: bytes) -> None:
    network.answer = Answer(200, b"", body)

    with pytest.raises(Unanswered):
        client_of(RecordedBoto("dynamodb")).put_item(TableName="t", Item=ITEM)
