"""Receiving that cannot die."""

import json
from types import SimpleNamespace
from typing import Any

import pycurl
import pytest
from botocore.exceptions import CredentialRetrievalError
from kombu.asynchronous.aws.connection import AsyncHTTPSConnection
from vine import promise

from app.engine.aws import clients
from app.engine.broker.polling import (
    ANSWER_MARGIN_SECONDS,
    CONNECT_TIMEOUT_SECONDS,
    LONGEST_PAUSE_SECONDS,
    Poller,
    PollFailures,
    TimedConnection,
)
from app.engine.conf import engine_settings


def longest(failures: int) -> float:
    """The longest pause that is drawn after that many failures."""
    row = PollFailures(draw=lambda _low, high: high)
    for _ in range(failures):
        row.failed()
    return row.pause_seconds


def test_without_a_failure_there_is_no_pause() -> None:
    assert longest(0) == 0


def test_pauses_grow_with_each_failure_and_never_exceed_five_seconds() -> None:
    pauses = [longest(failures) for failures in range(1, 2000, 1)]

    assert pauses[:5] == [0.5, 1, 2, 4, LONGEST_PAUSE_SECONDS]
    assert pauses == sorted(pauses)
    assert pauses[-1] == LONGEST_PAUSE_SECONDS


def test_pauses_are_drawn_so_that_workers_do_not_return_in_step() -> None:
    row = PollFailures()
    for _ in range(6):
        row.failed()

    pauses = {row.pause_seconds for _ in range(50)}

    assert len(pauses) > 40
    assert all(0 < pause <= LONGEST_PAUSE_SECONDS for pause in pauses)


def test_only_the_first_failure_and_the_first_success_of_a_row_are_worth_a_line() -> None:
    row = PollFailures()

    assert [row.failed(), row.failed(), row.failed()] == [True, False, False]
    assert [row.succeeded(), row.succeeded()] == [True, False]
    assert row.pause_seconds == 0
    assert row.failed()


# -- the poller -------------------------------------------------------------------------------------------------------


class Heard:
    def __init__(self) -> None:
        self.failures: list[str] = []
        self.successes = 0

    def succeeded(self) -> None:
        self.successes += 1


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def poller(heard: Heard) -> Poller:
    return Poller(
        wait_time_seconds=20,
        on_failure=heard.failures.append,
        on_success=heard.succeeded,
        sqs_connection=clients.sqs(engine_settings()),
        http_client=SimpleNamespace(),
    )


def response(status: int, body: bytes, reason: str = "") -> Any:
    """As kombu's ``AsyncHTTPResponse`` wraps it."""
    raw = SimpleNamespace(body=body, code=status, headers={}, status_code=status, content=body, status=status)
    return SimpleNamespace(status=status, reason=reason, read=lambda: body, response=raw)


def answered(poller: Poller, answer: Any) -> dict[str, Any]:
    return poller._on_list_ready(poller, [], "ReceiveMessage", answer)


@pytest.mark.parametrize("status", [400, 403, 404, 408, 429, 500, 502, 503, 504, 599])
def test_a_refused_poll_is_an_empty_answer_and_a_reported_failure(poller: Poller, heard: Heard, status: int) -> None:
    assert answered(poller, response(status, b"<html>busy</html>", "Busy")) == {}
    assert heard.failures == [f"HTTP {status} Busy <html>busy</html>"]
    assert heard.successes == 0


@pytest.mark.parametrize("body", [b"", b"<html>a proxy's page</html>", b'{"Messages": 5', b"\xff\xfe"])
def test_a_200_with_garbage_is_an_empty_answer_or_a_reported_failure(poller: Poller, heard: Heard, body: bytes) -> None:
    assert answered(poller, response(200, body)).get("Messages") is None
    assert len(heard.failures) + heard.successes == 1


def test_messages_are_handed_over_and_the_success_is_reported(poller: Poller, heard: Heard) -> None:
    message = {"MessageId": "1", "ReceiptHandle": "r", "Body": "b"}

    assert answered(poller, response(200, json.dumps({"Messages": [message]}).encode()))["Messages"] == [message]
    assert heard.successes == 1
    assert heard.failures == []


def test_every_poll_has_a_time_out_longer_than_the_long_poll_itself() -> None:
    options: dict[int, int] = {}
    connection = TimedConnection(20, http_client=SimpleNamespace())
    assert isinstance(connection, AsyncHTTPSConnection)
    connection.request("POST", "http://127.0.0.1:1/")

    connection.getrequest().on_prepare(SimpleNamespace(setopt=options.__setitem__))

    assert options[pycurl.TIMEOUT] == 20 + ANSWER_MARGIN_SECONDS
    assert options[pycurl.CONNECTTIMEOUT] == CONNECT_TIMEOUT_SECONDS


def test_the_poller_uses_connections_with_a_time_out(poller: Poller) -> None:
    assert isinstance(poller.get_http_connection(), TimedConnection)


def test_a_poll_that_cannot_be_signed_is_an_empty_answer_and_a_failure(
    poller: Poller, heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_credentials(*_: Any, **__: Any) -> None:
        raise CredentialRetrievalError(provider="container-role", error_msg="timed out")

    monkeypatch.setattr(poller.sqs_connection._request_signer, "sign", no_credentials)
    answers: list[Any] = []

    poller.receive_message("default", "http://127.0.0.1:1/123456789012/default", callback=promise(answers.append))

    assert answers == [{}]
    assert len(heard.failures) == 1
    assert "CredentialRetrievalError" in heard.failures[0]
