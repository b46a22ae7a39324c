"""What the deployed queue says, asked seldom, and remembered while it is silent."""

import json
from datetime import timedelta
from typing import Any

import pytest

from app.engine.broker.queue_facts import ASKED_AGAIN_SECONDS, ASSUMED_VISIBILITY, TRUSTED_SECONDS, QueueBook, QueueFacts
from tests.unit.engine.broker.fake_sqs import Clock, FakeSqs, client_error, connection_refused, refusing

URL = "https://sqs.eu-central-1.amazonaws.com/1/jobs"


class Desk:
    def __init__(self) -> None:
        self.sqs, self.clock = FakeSqs(), Clock()
        self.say()
        self.book = QueueBook(lambda: self.sqs, self.clock)

    def say(self, visibility: str | None = "45", redrive_policy: str | None = None) -> None:
        said = {"VisibilityTimeout": visibility, "RedrivePolicy": redrive_policy}
        attributes = {name: value for name, value in said.items() if value is not None}
        self.sqs.answer = lambda _operation, _request: {"Attributes": attributes}


@pytest.fixture
def desk() -> Desk:
    return Desk()


def policy(arn: Any) -> str:
    return json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 3})


def test_a_queue_is_asked_once_in_five_minutes(desk: Desk) -> None:
    assert desk.book.visibility_timeout(URL) == timedelta(seconds=45)
    desk.say("90")
    desk.clock.now += TRUSTED_SECONDS - 1
    assert desk.book.visibility_timeout(URL) == timedelta(seconds=45)
    desk.clock.now += 1

    assert desk.book.visibility_timeout(URL) == timedelta(seconds=90)
    assert len(desk.sqs.calls) == 2


@pytest.mark.parametrize("error", [connection_refused(), client_error("AccessDenied", 403)])
def test_a_queue_that_does_not_answer_is_what_it_was_and_asked_again_soon(desk: Desk, error: Exception) -> None:
    desk.book.visibility_timeout(URL)
    desk.clock.now += TRUSTED_SECONDS
    desk.sqs.answer = refusing(error)

    assert desk.book.visibility_timeout(URL) == timedelta(seconds=45)
    desk.say("90")
    assert desk.book.visibility_timeout(URL) == timedelta(seconds=45)
    desk.clock.now += ASKED_AGAIN_SECONDS
    assert desk.book.visibility_timeout(URL) == timedelta(seconds=90)
    assert len(desk.sqs.calls) == 3


def test_of_a_queue_that_never_answered_nothing_is_known_and_early_renewals_are_assumed(desk: Desk) -> None:
    desk.sqs.answer = refusing(connection_refused())

    assert desk.book.facts(URL) is None
    assert desk.book.visibility_timeout(URL) == ASSUMED_VISIBILITY


def test_a_queue_that_says_nothing_of_a_redrive_policy_has_none(desk: Desk) -> None:
    assert desk.book.facts(URL) == QueueFacts(timedelta(seconds=45), None)


@pytest.mark.parametrize(
    ("url", "dead_letters"),
    [
        (URL, "https://sqs.eu-central-1.amazonaws.com/2/graves"),
        ("http://127.0.0.1:5000/1/jobs", "http://127.0.0.1:5000/2/graves"),
    ],
    ids=["aws", "local"],
)
def test_the_dead_letters_are_on_the_same_host_in_the_account_of_the_policy(desk: Desk, url: str, dead_letters: str) -> None:
    desk.say(redrive_policy=policy("arn:aws:sqs:eu-central-1:2:graves"))

    facts = desk.book.facts(url)

    assert facts is not None
    assert facts.dead_letter_url == dead_letters


@pytest.mark.parametrize("redrive_policy", ["", "{", "[]", "{}", policy(None), policy("graves")])
def test_a_policy_that_names_no_queue_is_none(desk: Desk, redrive_policy: str) -> None:
    desk.say(redrive_policy=redrive_policy)

    assert desk.book.facts(URL) == QueueFacts(timedelta(seconds=45), None)


def test_each_queue_speaks_for_itself(desk: Desk) -> None:
    other = URL + "-slow"
    desk.sqs.answer = lambda _operation, request: {"Attributes": {"VisibilityTimeout": "600" if request["QueueUrl"] == other else "45"}}

    assert [desk.book.visibility_timeout(url) for url in (URL, other, URL)] == [timedelta(seconds=seconds) for seconds in (45, 600, 45)]
    assert len(desk.sqs.calls) == 2
