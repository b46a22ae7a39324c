"""A dead letter says why."""

import json
from typing import Any

import pytest

from app.engine.broker.dead_letters import MOST_ATTRIBUTES, Cause, dead_letter, failure
from app.engine.broker.received import Received


def cause_of(error: Exception, task: str = "payments.capture") -> Cause:
    try:
        raise error
    except type(error) as caught:
        return failure(caught, task=task, attempts=3)


def received(url: str = "http://sqs/1/q", **more: Any) -> Received:
    return Received(queue="q", url=url, raw={"ReceiptHandle": "h", "MessageId": "m", "Body": "as it came", **more}, received_at=0)


def test_equal_problems_have_one_fingerprint_whatever_their_figures() -> None:
    first = cause_of(ValueError("order 17 of 'ada' is 0c8f1b9e-58f5-4a43-8f0c-0b7a43a1a0d5"))
    second = cause_of(ValueError("order 4711 of 'grace' is 1d8f1b9e-58f5-4a43-8f0c-0b7a43a1a0d6"))

    assert first.fingerprint == second.fingerprint


@pytest.mark.parametrize(
    "other", [cause_of(KeyError("order 17")), cause_of(ValueError("order 17"), task="payments.refund"), cause_of(ValueError("no"))]
)
def test_other_problems_have_others(other: Cause) -> None:
    assert other.fingerprint != cause_of(ValueError("order 17")).fingerprint


def test_the_body_is_the_original_and_the_cause_is_readable_json() -> None:
    entry = dead_letter(received(), cause_of(ValueError("odd \u0000 and ünïcode")))

    cause = json.loads(entry["MessageAttributes"]["cause"]["StringValue"])
    assert entry["MessageBody"] == "as it came"
    assert entry["MessageAttributes"]["reason"]["StringValue"] == "failed"
    assert (cause["exception"], cause["attempts"], cause["task"]) == ("ValueError", 3, "payments.capture")
    assert entry["MessageAttributes"]["cause"]["StringValue"].isascii()


def test_the_message_s_own_attributes_are_kept_as_long_as_there_is_room() -> None:
    own = {f"a{number}": {"DataType": "String", "StringValue": "x"} for number in range(10)}

    attributes = dead_letter(received(MessageAttributes=own), cause_of(ValueError("no")))["MessageAttributes"]

    assert len(attributes) == MOST_ATTRIBUTES
    assert {"reason", "cause", "a0"} <= set(attributes)


def test_a_dead_letter_of_a_fifo_queue_keeps_its_group_and_is_taken_once() -> None:
    entry = dead_letter(received("http://sqs/1/q.fifo", Attributes={"MessageGroupId": "tenant"}), cause_of(ValueError("no")))

    assert (entry["MessageGroupId"], entry["MessageDeduplicationId"]) == ("tenant", "m")
    assert "MessageDeduplicationId" not in dead_letter(received(), cause_of(ValueError("no")))
