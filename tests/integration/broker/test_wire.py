"""The lean wire against servers that answer well, badly, late and never: what arrived is counted, and never twice."""

import os
import socket
import ssl
import subprocess
import sys
import textwrap
import time
from calendar import timegm
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from email.utils import formatdate
from pathlib import Path
from typing import Any

import boto3
import pycurl
import pytest
from botocore.exceptions import ClientError, CredentialRetrievalError, ParamValidationError

from app.engine.aws.wire import NotSent, SqsClient, Unanswered
from app.engine.aws.wire import curl as curl_module
from tests.support.environment import REGION, REPOSITORY, free_port
from tests.support.eventually import eventually
from tests.support.wire_server import SENT, Reply, Request, Server, Then, error, http

QUEUE_URL = "http://sqs.example.com/123456789012/default"


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.stop()


def boto_of(url: str, **options: Any) -> Any:
    session = boto3.session.Session(region_name=REGION, aws_access_key_id="AKID", aws_secret_access_key="secret")
    return session.client("sqs", endpoint_url=url, **options)


@pytest.fixture
def pauses() -> list[float]:
    return []


@pytest.fixture
def make_client(pauses: list[float]) -> Iterator[Callable[..., SqsClient]]:
    with ExitStack() as stack:

        def make(boto: Any, **options: Any) -> SqsClient:
            options = {"connect_timeout": 1.0, "answer_timeout": 5.0, "pause": pauses.append, **options}
            return stack.enter_context(closing(SqsClient(lambda: boto, **options)))

        yield make


@pytest.fixture
def client(server: Server, make_client: Callable[..., SqsClient]) -> SqsClient:
    return make_client(boto_of(server.url))


Call = Callable[[SqsClient], Any]


def send(client: SqsClient, body: str = "hello") -> Any:
    return client.send_message(QueueUrl=QUEUE_URL, MessageBody=body)


def send_batch(client: SqsClient) -> Any:
    return client.send_message_batch(QueueUrl=QUEUE_URL, Entries=[{"Id": "0", "MessageBody": "hello"}])


def receive(client: SqsClient) -> Any:
    return client.receive_message(QueueUrl=QUEUE_URL, WaitTimeSeconds=0)


def delete(client: SqsClient) -> Any:
    return client.delete_message(QueueUrl=QUEUE_URL, ReceiptHandle="h")


def delete_batch(client: SqsClient) -> Any:
    return client.delete_message_batch(QueueUrl=QUEUE_URL, Entries=[{"Id": "0", "ReceiptHandle": "h"}])


def hide(client: SqsClient) -> Any:
    return client.change_message_visibility(QueueUrl=QUEUE_URL, ReceiptHandle="h", VisibilityTimeout=0)


def hide_batch(client: SqsClient) -> Any:
    entry = {"Id": "0", "ReceiptHandle": "h", "VisibilityTimeout": 0}
    return client.change_message_visibility_batch(QueueUrl=QUEUE_URL, Entries=[entry])


SENDS: tuple[Call, ...] = (send, send_batch)
OTHERS: tuple[Call, ...] = (receive, delete, delete_batch, hide, hide_batch)
CALLS = SENDS + OTHERS


# -- what arrives ---------------------------------------------------------------------------------------------------


def test_requests_follow_each_other_on_one_connection(server: Server, client: SqsClient) -> None:
    assert [send(client, str(number))["MessageId"] for number in range(5)] == ["0", "1", "2", "3", "4"]

    assert server.connections == 1
    assert [request.operation for request in server.requests] == ["SendMessage"] * 5
    assert "expect" not in server.requests[0].head.lower()


def test_a_message_as_large_as_sqs_takes_goes_without_asking_first(server: Server, client: SqsClient) -> None:
    send(client, "x" * 1024 * 1024)

    assert len(server.requests[0].body["MessageBody"]) == 1024 * 1024
    assert "expect" not in server.requests[0].head.lower()


def test_threads_get_each_the_answer_to_its_own_request(server: Server, client: SqsClient) -> None:
    bodies = [f"message {number}" for number in range(400)]

    with ThreadPoolExecutor(8) as threads:
        identities = list(threads.map(lambda body: send(client, body)["MessageId"], bodies))

    assert identities == bodies
    assert sorted(request.body["MessageBody"] for request in server.requests) == sorted(bodies)
    assert server.connections <= 8


def test_an_unknown_parameter_is_refused_like_by_boto3(server: Server, client: SqsClient) -> None:
    with pytest.raises(ParamValidationError, match='Unknown parameter in input: "DelaySecond"'):
        client.send_message(QueueUrl=QUEUE_URL, MessageBody="x", DelaySecond=1)

    assert server.requests == []


def test_what_botocore_takes_is_taken(server: Server, client: SqsClient) -> None:
    attribute = {"DataType": "Binary", "BinaryValue": bytearray(b"\x00")}

    client.send_message(QueueUrl=QUEUE_URL, MessageBody="x", MessageAttributes={"a": attribute})

    assert server.requests[0].body["MessageAttributes"]["a"]["BinaryValue"] == "AA=="


def test_everything_else_is_boto3(server: Server, client: SqsClient) -> None:
    server.script.append(Reply(raw=http(200, {"QueueUrl": QUEUE_URL})))

    assert client.get_queue_url(QueueName="default")["QueueUrl"] == QUEUE_URL
    assert client.meta.region_name == REGION
    assert not hasattr(client, "_unheard_of")


# -- sent at most once ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("then", [Then.CLOSE, Then.RESET])
@pytest.mark.parametrize("call", CALLS)
def test_a_request_whose_kept_connection_dies_is_not_sent_again(server: Server, client: SqsClient, call: Call, then: Then) -> None:
    send(client, "first")
    server.script.append(Reply(then=then))

    with pytest.raises(Unanswered):
        call(client)

    assert eventually(lambda: server.ended, 1) == 1
    assert len(server.requests) == 2
    assert server.requests[1].connection == 1
    assert send(client, "next")["MessageId"] == "next"
    assert len(server.requests) == 3


def test_the_largest_request_is_not_sent_again_either(server: Server, client: SqsClient) -> None:
    send(client, "first")
    server.script.append(Reply(then=Then.CLOSE))

    with pytest.raises(Unanswered):
        send(client, "x" * 1024 * 1024)

    assert [len(request.body["MessageBody"]) for request in server.requests] == [5, 1024 * 1024]


def test_libcurl_would_send_again_if_it_could(server: Server, client: SqsClient, monkeypatch: pytest.MonkeyPatch) -> None:
    class Rewinding(curl_module.Handle):
        __slots__ = ()

        def __init__(self, connect_timeout: float, certificates: str) -> None:
            super().__init__(connect_timeout, certificates)
            self.curl.setopt(pycurl.SEEKFUNCTION, self._seek)

        def _seek(self, offset: int, whence: int) -> int:
            self.sent.seek(offset, whence)
            return int(pycurl.SEEKFUNC_OK)

    monkeypatch.setattr(curl_module, "Handle", Rewinding)
    send(client, "first")
    server.script.append(Reply(then=Then.CLOSE))

    send(client, "doubled")

    assert [request.body["MessageBody"] for request in server.requests] == ["first", "doubled", "doubled"]


@pytest.mark.parametrize("then", [Then.CLOSE, Then.RESET])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_connection_that_the_server_has_closed_is_replaced(
    request: pytest.FixtureRequest, make_client: Callable[..., SqsClient], certificate: Path, scheme: str, then: Then
) -> None:
    server: Server = request.getfixturevalue("server" if scheme == "http" else "tls_server")
    client = make_client(boto_of(server.url, verify=str(certificate)))
    server.script.extend([Reply(raw=http(200, SENT), then=then)] * 3)

    for number in range(4):
        send(client, str(number))
        eventually(lambda: server.ended, answer=min(number + 1, 3))

    send(client, "on the last one")
    assert [sent.connection for sent in server.requests] == [1, 2, 3, 4, 4]


@pytest.mark.parametrize(
    "reply",
    [
        Reply(then=Then.CLOSE),
        Reply(then=Then.RESET),
        Reply(then=Then.HANG),
        Reply(raw=b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", then=Then.CLOSE),
        Reply(raw=b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", then=Then.HANG),
        Reply(raw=b"SSH-2.0-OpenSSH\r\n", then=Then.CLOSE),
        Reply(raw=http(200, b"<html>a login page</html>")),
        Reply(raw=http(200, [])),
        Reply(raw=b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", then=Then.HANG),
        Reply(raw=b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n800000\r\n" + b"x" * 0x800000 + b"\r\n0\r\n\r\n"),
    ],
    ids=["closed", "reset", "silent", "cut short", "stuck", "not http", "not json", "not an object", "announced too large", "too large"],
)
@pytest.mark.parametrize("call", [send, send_batch, receive])
def test_without_a_complete_answer_nobody_knows(server: Server, make_client: Callable[..., SqsClient], call: Call, reply: Reply) -> None:
    client = make_client(boto_of(server.url), answer_timeout=0.4)
    server.script.append(reply)

    with pytest.raises(Unanswered):
        call(client)

    assert len(server.requests) == 1


def test_ten_large_messages_in_one_answer_are_not_too_large(server: Server, client: SqsClient) -> None:
    messages = [{"MessageId": str(number), "ReceiptHandle": "h", "Body": "é" * 512 * 1024} for number in range(10)]
    server.script.append(Reply(raw=http(200, {"Messages": messages})))

    answer = client.receive_message(QueueUrl=QUEUE_URL, MaxNumberOfMessages=10, WaitTimeSeconds=0)

    assert answer == {"Messages": messages}


def test_a_poll_waits_for_its_answer_on_top_of_its_long_poll(server: Server, make_client: Callable[..., SqsClient]) -> None:
    client = make_client(boto_of(server.url), answer_timeout=0.3)
    server.script.append(Reply(then=Then.HANG))
    began = time.monotonic()

    with pytest.raises(Unanswered):
        client.receive_message(QueueUrl=QUEUE_URL, WaitTimeSeconds=1)

    assert 1.2 < time.monotonic() - began < 5


# -- never sent -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", SENDS)
def test_a_refused_send_is_tried_three_times(make_client: Callable[..., SqsClient], pauses: list[float], call: Call) -> None:
    client = make_client(boto_of(f"http://127.0.0.1:{free_port()}"))

    with pytest.raises(NotSent, match=r"not wholly, sent to http"):
        call(client)

    assert len(pauses) == 2
    assert all(0.05 <= pause <= 0.4 for pause in pauses)


@pytest.mark.parametrize("call", OTHERS)
def test_any_other_refused_call_is_tried_once(make_client: Callable[..., SqsClient], pauses: list[float], call: Call) -> None:
    client = make_client(boto_of(f"http://127.0.0.1:{free_port()}"))

    with pytest.raises(NotSent):
        call(client)

    assert pauses == []


def test_who_cannot_be_connected_to_got_nothing(make_client: Callable[..., SqsClient]) -> None:
    with ExitStack() as stack:
        full = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):  # whoever comes next is left waiting
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        client = make_client(boto_of(f"http://127.0.0.1:{full.getsockname()[1]}"), connect_timeout=0.3)

        with pytest.raises(NotSent, match=r"(?i)time"):
            receive(client)


def test_a_handshake_that_never_ends_sent_nothing(make_client: Callable[..., SqsClient]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        client = make_client(boto_of(f"https://127.0.0.1:{silent.getsockname()[1]}"), connect_timeout=0.3)

        with pytest.raises(NotSent):
            receive(client)


def test_without_credentials_nothing_is_sent(
    server: Server, make_client: Callable[..., SqsClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    boto = boto_of(server.url)
    monkeypatch.setattr(boto._request_signer, "_credentials", None)

    with pytest.raises(NotSent, match="AWS_ACCESS_KEY_ID"):
        receive(make_client(boto))

    assert server.requests == []


def test_credentials_that_cannot_be_renewed_send_nothing_and_may_be_there_again(
    server: Server, make_client: Callable[..., SqsClient], pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    boto = boto_of(server.url)
    credentials = boto._request_signer._credentials
    outcomes = deque([CredentialRetrievalError(provider="container-role", error_msg="503"), credentials.get_frozen_credentials()])

    class Renewing:
        def get_frozen_credentials(self) -> Any:
            if isinstance(outcome := outcomes.popleft(), Exception):
                raise outcome
            return outcome

    monkeypatch.setattr(boto._request_signer, "_credentials", Renewing())

    assert send(make_client(boto))["MessageId"] == "hello"
    assert len(pauses) == 1


def test_a_client_that_cannot_be_made_sends_nothing() -> None:
    def boto() -> Any:
        raise CredentialRetrievalError(provider="container-role", error_msg="503")

    with pytest.raises(NotSent, match="container-role"):
        send(SqsClient(boto))


# -- refused --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("refusal", [http(503), http(429), error(400, "RequestThrottled"), error(400, "ThrottlingException")])
@pytest.mark.parametrize("call", SENDS)
def test_a_send_that_was_turned_away_is_tried_again(
    server: Server, client: SqsClient, pauses: list[float], call: Call, refusal: bytes
) -> None:
    good = http(200, SENT | {"Successful": [{"Id": "0"}]})
    server.script.extend([Reply(raw=refusal), Reply(raw=refusal), Reply(raw=good)])

    assert call(client)

    assert len(server.requests) == 3
    assert len(pauses) == 2


def test_a_send_that_is_turned_away_for_ever_gives_up(server: Server, client: SqsClient) -> None:
    server.otherwise = lambda _: Reply(raw=error(400, "RequestThrottled"))

    with pytest.raises(ClientError, match="RequestThrottled"):
        send(client)

    assert len(server.requests) == 3


@pytest.mark.parametrize("status", [500, 502, 504])
@pytest.mark.parametrize("call", SENDS)
def test_a_send_that_failed_half_way_is_not_repeated(server: Server, client: SqsClient, call: Call, status: int) -> None:
    server.script.append(Reply(raw=http(status)))

    with pytest.raises(ClientError) as raised:
        call(client)

    assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] == status
    assert len(server.requests) == 1


@pytest.mark.parametrize("call", OTHERS)
def test_nothing_else_is_repeated(server: Server, client: SqsClient, call: Call) -> None:
    server.script.append(Reply(raw=http(503)))

    with pytest.raises(ClientError):
        call(client)

    assert len(server.requests) == 1


def test_a_missing_queue_is_the_exception_of_the_client(server: Server, client: SqsClient) -> None:
    server.script.append(Reply(raw=error(400, "QueueDoesNotExist", "x-amzn-query-error: AWS.SimpleQueueService.NonExistentQueue;Sender")))

    with pytest.raises(client.exceptions.QueueDoesNotExist, match=r"\(AWS.SimpleQueueService.NonExistentQueue\) .* SendMessage"):
        send(client)


# -- the clock ------------------------------------------------------------------------------------------------------


def skewed(seconds: float) -> Reply:
    date = formatdate(time.time() + seconds, usegmt=True)
    return Reply(raw=error(403, "InvalidSignatureException", f"Date: {date}", "x-amzn-query-error: SignatureDoesNotMatch;Sender"))


def test_a_wrong_clock_is_set_by_the_answer(server: Server, client: SqsClient) -> None:
    server.script.append(skewed(3600))

    delete(client)
    delete(client)

    assert [hours_ahead(request) for request in server.requests] == [0, 1, 1]


def hours_ahead(request: Request) -> int:
    signed_at = timegm(time.strptime(request.header("x-amz-date"), "%Y%m%dT%H%M%SZ"))
    return round((signed_at - time.time()) / 3600)


@pytest.mark.parametrize("seconds", [[0], [3600, 7200]], ids=["right clock", "refused again"])
def test_a_refused_signature_is_repeated_at_most_once_and_only_for_the_clock(server: Server, client: SqsClient, seconds: list[int]) -> None:
    # Made now: the suite may have been collected minutes ago.
    replies = [skewed(ahead) for ahead in seconds]
    server.script.extend(replies)

    with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
        send(client)

    assert len(server.requests) == len(replies)


# -- forks and TLS --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and a certificate for 127.0.0.1, signed by itself."""
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1"),
            *("-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(path), "-out", f"{path}.crt"),
        ],
        check=True,
        capture_output=True,
    )
    path.write_text(path.read_text() + Path(f"{path}.crt").read_text())
    return path


@pytest.fixture
def tls_server(certificate: Path) -> Iterator[Server]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server = Server(tls=context)
    yield server
    server.stop()


def test_a_certificate_of_the_clients_own_bundle_is_trusted(
    tls_server: Server, certificate: Path, make_client: Callable[..., SqsClient]
) -> None:
    assert send(make_client(boto_of(tls_server.url, verify=str(certificate))))["MessageId"] == "hello"


@pytest.mark.parametrize("verify", [True, False])
def test_to_a_stranger_nothing_is_sent(tls_server: Server, make_client: Callable[..., SqsClient], verify: bool) -> None:
    with pytest.raises(NotSent, match="certificate"):
        send(make_client(boto_of(tls_server.url, verify=verify)))

    assert tls_server.requests == []


_FORKING = """
    import os, sys, boto3
    from app.engine.aws.wire import SqsClient

    url, certificate = sys.argv[1:]
    boto = boto3.client("sqs", endpoint_url=url, region_name="eu-central-1", aws_access_key_id="a", aws_secret_access_key="b", verify=certificate)
    client = SqsClient(lambda: boto)
    def send(body):
        client.send_message(QueueUrl="https://sqs/1/q", MessageBody=body)
    send("parent")
    for child in ("child", "idle child"):
        if not (pid := os.fork()):
            if child == "child":
                send("child")
            sys.exit(0)  # not os._exit: finalizers run
        os.waitpid(pid, 0)
    send("parent again")
"""


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_forked_child_opens_its_own_connection_and_leaves_its_parents_alone(
    request: pytest.FixtureRequest, scheme: str, certificate: Path
) -> None:
    server: Server = request.getfixturevalue("server" if scheme == "http" else "tls_server")

    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(_FORKING), server.url, str(certificate)],
        cwd=REPOSITORY,
        env={name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert ended.returncode == 0, ended.stderr
    assert [(sent.body["MessageBody"], sent.connection) for sent in server.requests] == [("parent", 1), ("child", 2), ("parent again", 1)]


# -- the whole ------------------------------------------------------------------------------------------------------


def test_a_message_travels_as_with_boto3(aws: str, make_client: Callable[..., SqsClient]) -> None:
    boto = boto_of(aws)
    client = make_client(boto)
    queue = client.create_queue(QueueName="wire")["QueueUrl"]
    attributes = {"trace": {"DataType": "Binary", "BinaryValue": b"\x00\xff"}, "name": {"DataType": "String", "StringValue": "ü"}}
    wanted = {"QueueUrl": queue, "MessageAttributeNames": ["All"], "MessageSystemAttributeNames": ["ApproximateReceiveCount"]}

    sent = client.send_message(QueueUrl=queue, MessageBody="🎉 € ü", MessageAttributes=attributes)
    received = client.receive_message(**wanted, WaitTimeSeconds=1, MaxNumberOfMessages=10)["Messages"]
    handle = {"QueueUrl": queue, "ReceiptHandle": received[0]["ReceiptHandle"]}
    client.change_message_visibility(**handle, VisibilityTimeout=0)
    theirs = boto.receive_message(**wanted, WaitTimeSeconds=1)["Messages"]
    client.delete_message(QueueUrl=queue, ReceiptHandle=theirs[0]["ReceiptHandle"])

    assert received[0]["MessageId"] == sent["MessageId"]
    assert received[0]["Body"] == "🎉 € ü"
    assert received[0]["MessageAttributes"] == attributes
    changing = {"ReceiptHandle", "Attributes"}
    assert {k: v for k, v in received[0].items() if k not in changing} == {k: v for k, v in theirs[0].items() if k not in changing}
    assert client.receive_message(QueueUrl=queue, WaitTimeSeconds=0) == {}


def test_a_batch_travels_as_with_boto3(aws: str, make_client: Callable[..., SqsClient]) -> None:
    client = make_client(boto_of(aws))
    queue = client.create_queue(QueueName="wire-batches")["QueueUrl"]

    sent = client.send_message_batch(QueueUrl=queue, Entries=[{"Id": str(n), "MessageBody": f"message {n}"} for n in range(10)])
    received = client.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, WaitTimeSeconds=1)["Messages"]
    handles = [{"Id": str(n), "ReceiptHandle": message["ReceiptHandle"]} for n, message in enumerate(received)]
    hidden = client.change_message_visibility_batch(QueueUrl=queue, Entries=[entry | {"VisibilityTimeout": 60} for entry in handles])
    deleted = client.delete_message_batch(QueueUrl=queue, Entries=handles)

    assert sorted(message["Body"] for message in received) == [f"message {n}" for n in range(10)]
    for answer in (sent, hidden, deleted):
        assert [entry["Id"] for entry in answer["Successful"]] == [str(n) for n in range(10)]
