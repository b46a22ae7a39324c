"""Ten conditional writes at once by one thread: each gets its own answer, and none is sent twice."""

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from app.engine.aws.wire import DynamoClient, NotSent, Unanswered
from tests.support.environment import REGION, REPOSITORY, free_port
from tests.support.eventually import eventually
from tests.support.wire_server import Reply, Request, Server, Then, http

TEN = range(10)


def echoed(request: Request) -> Reply:
    """The good answer to an UpdateItem: the key that was asked for."""
    return Reply(raw=http(200, {"Attributes": request.body["Key"]}))


def answers(wanted: Callable[[str], Reply | None]) -> Callable[[Request], Reply]:
    """``wanted`` says for a key what is answered, or nothing for the good answer."""
    return lambda request: wanted(request.body["Key"]["id"]["S"]) or echoed(request)


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server(otherwise=echoed)
    yield server
    server.stop()


def client_of(url: str) -> DynamoClient:
    boto = boto3.client("dynamodb", endpoint_url=url, region_name=REGION, aws_access_key_id="a", aws_secret_access_key="b")
    return DynamoClient(lambda: boto, connect_timeout=1.0, answer_timeout=1.0, pause=lambda _: None)


@pytest.fixture
def client(server: Server) -> Iterator[DynamoClient]:
    with closing(client_of(server.url)) as client:
        yield client


def update(client: DynamoClient, keys: range = TEN) -> list[Any]:
    return client.update_items([{"TableName": "ledger", "Key": {"id": {"S": str(key)}}} for key in keys])


def good(keys: range = TEN) -> list[Any]:
    return [{"Attributes": {"id": {"S": str(key)}}} for key in keys]


def test_each_gets_its_own_answer_in_order_on_connections_that_are_kept(server: Server, client: DynamoClient) -> None:
    for keys in (TEN, range(4), range(20, 30)):
        assert update(client, keys) == good(keys)

    assert len(server.requests) == 24
    assert server.connections <= 10
    assert {request.operation for request in server.requests} == {"UpdateItem"}


def test_what_dynamodb_refuses_stands_in_its_place(server: Server, client: DynamoClient) -> None:
    refused = http(400, {"__type": "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException", "Item": {"id": {"S": "3"}}})
    server.otherwise = answers(lambda key: Reply(raw=refused) if key == "3" else None)

    got = update(client)

    refusal = got.pop(3)
    assert isinstance(refusal, ClientError)
    assert refusal.response["Error"]["Code"] == "ConditionalCheckFailedException"
    assert refusal.response["Item"] == {"id": {"S": "3"}}  # type: ignore[typeddict-item]
    assert got == good()[:3] + good()[4:]
    assert len(server.requests) == 10


def test_what_was_turned_away_is_asked_again_alone(server: Server, client: DynamoClient) -> None:
    turned_away: list[str] = []

    def once(key: str) -> Reply | None:
        if key in {"0", "7"} and turned_away.count(key) < 2:
            turned_away.append(key)
            return Reply(raw=http(400, {"__type": "com.amazonaws.dynamodb.v20120810#ThrottlingException"}))
        return None

    server.otherwise = answers(once)

    assert update(client) == good()
    assert len(server.requests) == 14


@pytest.mark.parametrize("then", [Then.CLOSE, Then.RESET, Then.HANG])
def test_whose_connection_dies_or_hangs_is_unanswered_and_not_sent_again(server: Server, client: DynamoClient, then: Then) -> None:
    update(client)
    server.requests.clear()
    server.otherwise = answers(lambda key: Reply(then=then) if key == "5" else None)

    got = update(client)

    assert isinstance(got.pop(5), Unanswered)
    assert got == good()[:5] + good()[6:]
    assert sorted(request.body["Key"]["id"]["S"] for request in server.requests) == sorted(str(key) for key in TEN)


def test_connections_that_the_server_has_closed_meanwhile_are_replaced(server: Server, client: DynamoClient) -> None:
    server.otherwise = lambda request: Reply(raw=echoed(request).raw, then=Then.CLOSE)
    for _ in range(3):
        ended = server.ended
        assert update(client) == good()
        eventually(lambda before=ended: server.ended - before, 10)  # type: ignore[misc]


def test_who_cannot_be_connected_to_got_nothing() -> None:
    with closing(client_of(f"http://127.0.0.1:{free_port()}")) as client:
        assert [type(outcome) for outcome in update(client)] == [NotSent] * 10


def test_without_credentials_nothing_is_sent(server: Server, client: DynamoClient, monkeypatch: pytest.MonkeyPatch) -> None:
    update(client)
    monkeypatch.setattr(client._connection(), "_credentials", None)
    server.requests.clear()

    assert [type(outcome) for outcome in update(client)] == [NotSent] * 10
    assert server.requests == []


_FORKING = """
    import os, sys, boto3
    from app.engine.aws.wire import DynamoClient

    boto = boto3.client("dynamodb", endpoint_url=sys.argv[1], region_name="eu-central-1", aws_access_key_id="a", aws_secret_access_key="b")
    client = DynamoClient(lambda: boto)
    def update(name):
        answers = client.update_items([{"TableName": name, "Key": {"id": {"S": str(key)}}} for key in range(3)])
        assert [answer["Attributes"]["id"]["S"] for answer in answers] == ["0", "1", "2"], answers
    update("parent")
    for child in ("child", "idle child"):
        if not (pid := os.fork()):
            if child == "child":
                update("child")
            sys.exit(0)  # not os._exit: finalizers run
        assert os.waitpid(pid, 0)[1] == 0
    update("parent again")
"""


def test_a_forked_child_opens_connections_of_its_own_and_leaves_its_parents_alone(server: Server) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(_FORKING), server.url],
        cwd=REPOSITORY,
        env={name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert ended.returncode == 0, ended.stderr
    by_whom = {
        name: {sent.connection for sent in server.requests if sent.body["TableName"] == name}
        for name in ("parent", "child", "parent again")
    }
    assert by_whom["parent again"] <= by_whom["parent"]
    assert not by_whom["child"] & by_whom["parent"]
