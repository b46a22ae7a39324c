"""Celery's way out: everything at the end of the block, or nothing."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from celery import current_app, group
from kombu.exceptions import EncodeError

from app.engine.broker.errors import PartlySent
from app.engine.broker.options import BrokerOptions, QueueOptions
from app.engine.broker.producer import DirectProducer
from app.engine.broker.program import Program
from app.engine.broker.sending import Sender
from tests.unit.engine.broker.fake_sqs import FakeSqs, client_error, failed, refusing

URL = "https://sqs/1/celery"


@pytest.fixture
def sqs() -> FakeSqs:
    return FakeSqs()


@pytest.fixture
def producer(sqs: FakeSqs) -> DirectProducer:
    options = BrokerOptions(queues={"celery": QueueOptions(name="celery", url=URL)})
    return DirectProducer(Sender(options, lambda: sqs, None), connection=None)


def publish(producer: DirectProducer, task_id: str, body: Any = ((), {}, {}), **options: Any) -> None:
    producer.publish(body, "celery", headers={"id": task_id, "task": "t"}, **options)


def publish_all(producer: DirectProducer, *task_ids: str, error: Exception | None = None, **last: Any) -> None:
    with producer:
        for task_id in task_ids:
            publish(producer, task_id, **(last if task_id == task_ids[-1] else {}))
        if error is not None:
            raise error


def sent(sqs: FakeSqs) -> list[dict[str, Any]]:
    batched = [entry for request in sqs.of("send_message_batch") for entry in request["Entries"]]
    return [json.loads(entry["MessageBody"]) for entry in [*sqs.of("send_message"), *batched]]


# -- the block ------------------------------------------------------------------------------------------------------------------


def test_an_empty_block_sends_nothing(producer: DirectProducer, sqs: FakeSqs) -> None:
    with producer:
        pass

    assert sqs.calls == []


def test_one_message_is_one_plain_request(producer: DirectProducer, sqs: FakeSqs) -> None:
    with producer:
        publish(producer, "a")
        assert sqs.calls == []

    assert [name for name, _ in sqs.calls] == ["send_message"]


def test_several_messages_travel_ten_a_request_in_their_order(producer: DirectProducer, sqs: FakeSqs) -> None:
    with producer:
        for number in range(12):
            publish(producer, str(number))

    assert [len(request["Entries"]) for request in sqs.of("send_message_batch")] == [10, 2]
    assert [message["headers"]["id"] for message in sent(sqs)] == [str(number) for number in range(12)]


def test_nothing_is_sent_if_the_block_raises_nor_later(producer: DirectProducer, sqs: FakeSqs) -> None:
    with pytest.raises(ValueError, match="half-way"):
        publish_all(producer, "a", "b", error=ValueError("half-way"))

    publish_all(producer, "c")
    assert [message["headers"]["id"] for message in sent(sqs)] == ["c"]


def test_nothing_is_sent_if_one_message_cannot_be_written(producer: DirectProducer, sqs: FakeSqs) -> None:
    with pytest.raises(EncodeError):
        publish_all(producer, "a", "b", body=((object(),), {}, {}))

    assert sqs.calls == []


def test_a_producer_may_be_used_again(producer: DirectProducer, sqs: FakeSqs) -> None:
    for name in ("a", "b"):
        with producer:
            publish(producer, name)

    assert [message["headers"]["id"] for message in sent(sqs)] == ["a", "b"]


def test_who_was_not_taken_is_known_by_position(producer: DirectProducer, sqs: FakeSqs) -> None:
    def answer(_operation: str, request: dict[str, Any]) -> dict[str, Any]:
        if request["Entries"][0]["Id"] == "10":
            raise client_error("ServiceUnavailable", 503)
        return {"Failed": [failed("3", sender_fault=True)]}

    sqs.answer = answer
    with pytest.raises(PartlySent, match="1 of 12 messages were refused, 2 got no answer") as caught:
        publish_all(producer, *[f"id{number}" for number in range(12)])

    assert caught.value.ids == [f"id{number}" for number in range(12)]
    assert (sorted(caught.value.refused), sorted(caught.value.unanswered)) == ([3], [10, 11])


def test_a_single_message_raises_what_sqs_said(producer: DirectProducer, sqs: FakeSqs) -> None:
    error = client_error("AccessDenied", 403)
    sqs.answer = refusing(error)

    with pytest.raises(type(error)) as caught, producer:
        publish(producer, "a")
    assert caught.value is error


# -- the message ------------------------------------------------------------------------------------------------------------------


def test_what_kombu_is_told_of_connections_and_exchanges_is_in_no_message(producer: DirectProducer, sqs: FakeSqs) -> None:
    with producer:
        publish(producer, "a", exchange="e", declare=[], retry=True, retry_policy={}, timeout=3, compression=None, priority=5, shard="own")

    properties = sent(sqs)[0]["properties"]
    assert {name: properties[name] for name in ("priority", "shard", "body_encoding")} == {
        "priority": 5,
        "shard": "own",
        "body_encoding": "utf-8",
    }
    assert properties["delivery_info"] == {"exchange": "", "routing_key": "celery"}
    assert not {"exchange", "declare", "retry", "retry_policy", "timeout", "compression"} & properties.keys()


def test_a_text_with_a_type_of_its_own_is_sent_as_it_is(producer: DirectProducer, sqs: FakeSqs) -> None:
    with producer:
        publish(producer, "a", body="<p/>", content_type="text/html", content_encoding="utf-8")

    assert (sent(sqs)[0]["body"], sent(sqs)[0]["content-type"]) == ("<p/>", "text/html")


def test_a_serializer_that_writes_no_text_is_refused_as_one_that_cannot_write(producer: DirectProducer, sqs: FakeSqs) -> None:
    with pytest.raises(EncodeError, match="pickle"), producer:
        publish(producer, "a", serializer="pickle")

    assert sqs.calls == []


# -- the program -------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def program(sqs: FakeSqs) -> Iterator[Program]:
    # Whoever makes a Celery application becomes the current one.
    current = current_app._get_current_object()
    program = Program("shop", set_as_current=False)
    program.conf.update(
        broker_url="sqs://key:secret@sqs.example:9324//",
        broker_transport="app.engine.broker.transport:Transport",
        broker_transport_options={"region": "eu-central-1", "predefined_queues": {"celery": {"url": URL}}},
        task_default_queue="celery",
    )
    program.sender.client = lambda: sqs
    yield program
    program.close()
    current.set_current()


def test_a_program_publishes_a_call_in_one_request_without_its_arguments_in_print(program: Program, sqs: FakeSqs) -> None:
    result = program.send_task("write", args=["a secret"], kwargs={"to": "Ada"})

    (message,) = sent(sqs)
    assert [name for name, _ in sqs.calls] == ["send_message"]
    assert message["headers"]["id"] == result.id
    assert json.loads(message["body"])[:2] == [["a secret"], {"to": "Ada"}]
    assert "a secret" not in json.dumps(message["headers"]) + json.dumps(message["properties"])


def test_the_parts_of_a_group_and_of_chunks_travel_together(program: Program, sqs: FakeSqs) -> None:
    @program.task
    def add(a: int, b: int) -> int:
        return a + b

    group([add.s(number, number) for number in range(11)], app=program).apply_async()
    add.chunks([(number, number) for number in range(12)], 3).apply_async()

    assert [len(request["Entries"]) for request in sqs.of("send_message_batch")] == [10, 1, 4]
    assert sqs.of("send_message") == []


def test_a_producer_that_is_given_is_used(program: Program, sqs: FakeSqs, producer: DirectProducer) -> None:
    with producer, program.producer_or_acquire(producer) as used:
        assert used is producer


@pytest.mark.parametrize("setting", [{"task_serializer": "yaml"}, {"task_compression": "gzip"}])
def test_a_program_that_does_not_write_plain_json_goes_through_kombu(program: Program, setting: dict[str, str]) -> None:
    assert isinstance(program.producer_or_acquire(), DirectProducer)
    other = Program("other", set_as_current=False)
    other.conf.update(program.conf.changes, **setting)

    assert not isinstance(other.producer_or_acquire(), DirectProducer)


@pytest.mark.parametrize(
    ("url", "endpoint"),
    [
        ("sqs://", None),
        ("sqs://key:secret@localhost:9324//", "http://localhost:9324"),
        ("sqs://key:secret@sqs.example//", "http://sqs.example"),
    ],
)
def test_an_address_in_the_url_is_another_aws(url: str, endpoint: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[Any, ...]] = []
    monkeypatch.setattr("app.engine.broker.program.sqs_client", lambda *told: asked.append(told))
    program = Program("shop", set_as_current=False)
    program.conf.update(
        broker_url=url,
        broker_transport="app.engine.broker.transport:Transport",
        broker_transport_options={"region": "eu-central-1", "predefined_queues": {"celery": {"url": URL}}, "is_secure": False},
    )

    program.sender.client()

    keys = ("key", "secret") if endpoint else (None, None)
    assert asked == [("eu-central-1", endpoint, *keys)]
