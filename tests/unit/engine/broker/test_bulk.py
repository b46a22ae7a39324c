"""Many jobs of one task."""

import json
from typing import Any

import pytest
from celery import current_app, group

from app.engine.broker.errors import PartlySent
from tests.unit.engine.broker.fake_sqs import FakeSqs, failed


@pytest.fixture
def sqs(monkeypatch: pytest.MonkeyPatch) -> FakeSqs:
    fake = FakeSqs()
    monkeypatch.setattr(current_app.sender, "client", lambda: fake)
    monkeypatch.setattr("app.engine.outbox.producer.is_open", lambda: False)
    return fake


def sent(sqs: FakeSqs) -> list[dict[str, Any]]:
    return [json.loads(entry["MessageBody"]) for request in sqs.of("send_message_batch") for entry in request["Entries"]]


def test_they_travel_in_tens_and_are_what_delay_would_have_sent(sqs: FakeSqs) -> None:
    task = current_app.tasks["engine.debug_task"]

    ids = task.delay_many([{"seconds": number} for number in range(12)])
    task.delay(seconds=0)

    many, (one,) = sent(sqs), [json.loads(request["MessageBody"]) for request in sqs.of("send_message")]
    assert [len(request["Entries"]) for request in sqs.of("send_message_batch")] == [10, 2]
    assert [message["headers"]["id"] for message in many] == ids
    assert [json.loads(message["body"])[1] for message in many] == [{"seconds": number} for number in range(12)]
    same = many[0]["headers"] | {"id": one["headers"]["id"], "origin": one["headers"]["origin"]}
    assert {name: one["headers"].get(name) for name in same} == same
    assert json.loads(many[0]["body"]) == json.loads(one["body"])
    assert one["properties"] == many[0]["properties"]


def test_arguments_that_do_not_fit_are_refused_before_anything_is_sent(sqs: FakeSqs) -> None:
    with pytest.raises(TypeError):
        current_app.tasks["engine.debug_task"].delay_many([{"seconds": 1}, {"minutes": 1}])

    assert sqs.calls == []


def test_who_was_not_taken_is_told(sqs: FakeSqs) -> None:
    sqs.answer = lambda _operation, _request: {"Failed": [failed("1", sender_fault=True)]}

    with pytest.raises(PartlySent) as caught:
        current_app.tasks["engine.debug_task"].delay_many([[0], [1], [2]])

    assert list(caught.value.refused) == [1]
    assert len(caught.value.ids) == 3


def test_the_parts_of_a_group_travel_together(sqs: FakeSqs) -> None:
    group(current_app.tasks["engine.debug_task"].s(number) for number in range(3)).apply_async()

    assert [len(request["Entries"]) for request in sqs.of("send_message_batch")] == [3]
    assert sqs.of("send_message") == []


@pytest.mark.parametrize(("asked", "delay"), [({"DelaySeconds": 5}, 5), ({"delay_seconds": 7.9}, 7), ({"DelaySeconds": 9999}, 900)])
def test_a_delay_in_sqs_own_words_is_kept(sqs: FakeSqs, asked: dict[str, Any], delay: int) -> None:
    current_app.tasks["engine.debug_task"].apply_async(**asked)

    assert [request["DelaySeconds"] for request in sqs.of("send_message")] == [delay]
