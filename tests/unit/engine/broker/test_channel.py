"""What kombu and Celery ask of a channel. A real channel and event loop, and a fake SQS."""

import json
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from queue import Empty
from typing import Any

import pytest
from celery import current_app
from kombu.asynchronous import Hub, set_event_loop

from app.engine.broker import channel as channel_module
from app.engine.broker.batching import SendBatch
from app.engine.broker.channel import Channel
from app.engine.broker.dead_letters import Cause
from app.engine.broker.sending import Sender
from tests.support.eventually import eventually
from tests.support.hostile import encoded, valid_message
from tests.unit.engine.broker.fake_sqs import FakeSqs, address, client_error, connection_refused

QUEUE = "default"
DEAD = [connection_refused(), client_error("ServiceUnavailable", 503), client_error("AccessDenied", 403), client_error("RequestThrottled")]
IDS = ["refused", "503", "denied", "throttled"]


class Sqs(FakeSqs):
    """Hands out what a test puts in, once, and answers everything else with yes."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: list[dict[str, Any]] = []
        self._lock = threading.Lock()
        self.closed = threading.Event()

    def put(self, *bodies: str) -> list[str]:
        with self._lock:
            number = len(self.calls)
            handles = [f"handle-{number}-{position}" for position in range(len(bodies))]
            self.waiting += [
                {"MessageId": f"id-{handle}", "ReceiptHandle": handle, "Body": body, "Attributes": {"ApproximateReceiveCount": "1"}}
                for handle, body in zip(handles, bodies, strict=True)
            ]
            return handles

    def receive_message(self, **request: Any) -> dict[str, Any]:
        with self._lock:
            taken, self.waiting = self.waiting[: request["MaxNumberOfMessages"]], self.waiting[request["MaxNumberOfMessages"] :]
        if not taken:
            self.closed.wait(0.02)
        return {"Messages": taken}

    def entries(self, operation: str) -> list[dict[str, Any]]:
        return [entry for request in self.of(operation) for entry in request["Entries"]]


@pytest.fixture
def sqs(monkeypatch: pytest.MonkeyPatch) -> Sqs:
    fake = Sqs()
    monkeypatch.setattr(channel_module, "sqs_client", lambda *_: fake)
    return fake


@pytest.fixture
def hub() -> Iterator[Hub]:
    hub = Hub()
    set_event_loop(hub)
    yield hub
    hub.close()
    set_event_loop(None)


@pytest.fixture
def channel(sqs: Sqs, hub: Hub) -> Iterator[Channel]:
    connection = current_app.connection_for_write()
    channel: Channel = connection.channel()
    yield channel
    sqs.closed.set()
    channel.close()
    connection.release()


def job() -> str:
    return encoded(valid_message())


class Celery:
    """Takes what the channel delivers."""

    def __init__(self, channel: Channel, hub: Hub, window: int = 10) -> None:
        self.taken: list[Any] = []
        self._loop = hub.create_loop()
        channel.basic_qos(0, window, False)
        channel.basic_consume(QUEUE, False, self._take, "consumer")

    def _take(self, message: Any) -> None:
        self.taken.append(message)

    def await_messages(self, number: int) -> list[Any]:
        def turned() -> int:
            next(self._loop)
            return len(self.taken)

        eventually(turned, lambda taken: taken >= number, within=5)
        return self.taken


def test_an_acknowledged_message_frees_its_slot_at_once_and_is_deleted_with_others(channel: Channel, sqs: Sqs, hub: Hub) -> None:
    handles = sqs.put(job(), job(), job())
    messages = Celery(channel, hub).await_messages(3)

    for message in messages:
        message.ack()

    assert channel.qos.can_consume_max_estimate() == 10
    eventually(
        lambda: sorted(entry["ReceiptHandle"] for entry in sqs.entries("delete_message_batch")), lambda found: found == handles, within=5
    )
    assert len(sqs.of("delete_message_batch")) == 1


def test_what_was_decoded_to_be_inspected_is_not_decoded_again(
    channel: Channel, sqs: Sqs, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kombu.message.loads", lambda *_, **__: pytest.fail("decoded twice"))
    sqs.put(job())

    (taken,) = Celery(channel, hub).await_messages(1)

    # Celery passes the body on as it is.
    assert taken.payload == json.loads(taken.body)


@pytest.mark.parametrize("error", DEAD, ids=IDS)
def test_a_delete_that_sqs_refuses_is_repeated_and_ends_nothing(channel: Channel, sqs: Sqs, hub: Hub, error: Exception) -> None:
    failures = [error]

    def answer(operation: str, _request: dict[str, Any]) -> dict[str, Any]:
        if operation == "delete_message_batch" and failures:
            raise failures.pop()
        return {}

    sqs.answer = answer
    sqs.put(job())
    Celery(channel, hub).await_messages(1)[0].ack()

    eventually(lambda: len(sqs.of("delete_message_batch")), lambda found: found == 2, within=5)


def test_no_more_is_handed_over_than_the_window_holds(channel: Channel, sqs: Sqs, hub: Hub) -> None:
    sqs.put(*[job() for _ in range(5)])
    celery = Celery(channel, hub, window=2)
    celery.await_messages(2)
    assert len(celery.taken) == 2

    celery.taken[0].ack()

    celery.await_messages(3)
    assert len(celery.taken) == 3


def test_a_consumer_without_an_event_loop_sleeps_while_its_slots_are_taken(sqs: Sqs) -> None:
    sqs.put(*[job() for _ in range(3)])
    taken: list[Any] = []
    with current_app.connection_for_write() as connection:
        channel: Channel = connection.channel()
        # The intake receives what the window holds; narrowed afterwards, there are messages without a slot.
        channel.basic_consume(QUEUE, False, taken.append, "consumer")
        eventually(lambda: len(channel.consumption.intake.in_hand()), lambda held: held == 3, within=5)
        channel.basic_qos(0, 1, False)
        channel.drain_events(timeout=5)
        before = time.thread_time()

        with pytest.raises(Empty):
            channel.drain_events(timeout=0.5)

        assert time.thread_time() - before < 0.1
        assert len(taken) == 1
        taken[0].ack()
        channel.drain_events(timeout=5)
        assert len(taken) == 2
        sqs.closed.set()


def test_a_requeued_message_is_visible_to_others_at_once(channel: Channel, sqs: Sqs, hub: Hub) -> None:
    (handle,) = sqs.put(job())
    Celery(channel, hub).await_messages(1)[0].requeue()

    shown = eventually(lambda: sqs.entries("change_message_visibility_batch"), bool, within=5)
    assert [(entry["ReceiptHandle"], entry["VisibilityTimeout"]) for entry in shown] == [(handle, 0)]
    assert sqs.entries("delete_message_batch") == []


def test_a_rejected_message_goes_to_the_dead_letters_with_the_cause_that_was_noted_and_is_then_deleted(
    channel: Channel, sqs: Sqs, hub: Hub
) -> None:
    body = job()
    (handle,) = sqs.put(body)
    message = Celery(channel, hub).await_messages(1)[0]
    channel.note_cause(message.delivery_tag, Cause(reason="failed", message="no", exception="ValueError", attempts=3))
    message.reject()

    eventually(lambda: [entry["ReceiptHandle"] for entry in sqs.entries("delete_message_batch")], lambda found: found == [handle], within=5)
    (entry,) = sqs.entries("send_message_batch")
    cause = json.loads(entry["MessageAttributes"]["cause"]["StringValue"])
    assert sqs.of("send_message_batch")[0]["QueueUrl"] == address(QUEUE) + "-dead-letters"
    assert entry["MessageBody"] == body
    assert entry["MessageAttributes"]["reason"]["StringValue"] == "failed"
    assert (cause["exception"], cause["attempts"], cause["queue"], cause["task"]) == ("ValueError", 3, QUEUE, "engine.debug_task")


def test_a_message_that_nobody_can_read_goes_to_the_dead_letters_and_its_neighbours_are_delivered(
    channel: Channel, sqs: Sqs, hub: Hub
) -> None:
    sqs.put("{not json", job())

    assert len(Celery(channel, hub).await_messages(1)) == 1
    (entry,) = eventually(lambda: sqs.entries("send_message_batch"), bool, within=5)
    assert entry["MessageBody"] == "{not json"


def test_a_message_that_celery_will_not_take_does_not_end_the_worker(channel: Channel, sqs: Sqs, hub: Hub) -> None:
    sqs.put(job(), job())
    celery = Celery(channel, hub)
    taken = celery.taken

    def take(message: Any) -> None:
        taken.append(message)
        if len(taken) == 1:
            raise RuntimeError("Celery has a bad day")

    channel.connection._callbacks[QUEUE] = lambda payload: take(channel.message_to_python(payload))

    celery.await_messages(2)
    (entry,) = eventually(lambda: sqs.entries("send_message_batch"), bool, within=5)
    assert entry["MessageAttributes"]["reason"]["StringValue"] == "not-taken"


def test_an_unknown_task_is_parked_and_not_deleted_before_it_was_sent_again(channel: Channel, sqs: Sqs, hub: Hub) -> None:
    sqs.put(encoded(valid_message(task="engine.of_tomorrow")))
    Celery(channel, hub)

    eventually(lambda: len(sqs.entries("delete_message_batch")), lambda found: found == 1, within=5)
    (entry,) = sqs.entries("send_message_batch")
    assert sqs.of("send_message_batch")[0]["QueueUrl"] == address(QUEUE)
    assert entry["DelaySeconds"] == 15
    assert "parked_since" in entry["MessageAttributes"]
    operations = [operation for operation, _ in sqs.calls]
    assert operations.index("send_message_batch") < operations.index("delete_message_batch")


def test_a_message_that_comes_before_it_is_due_waits_in_sqs(channel: Channel, sqs: Sqs, hub: Hub) -> None:
    sqs.put(encoded(valid_message(eta="2126-01-01T00:00:00+00:00")), encoded(valid_message(eta=_in(100))))
    celery = Celery(channel, hub)

    entries = eventually(lambda: sqs.entries("send_message_batch"), lambda found: len(found) == 2, within=5)
    assert celery.taken == []
    assert sorted(entry.get("DelaySeconds", "refused") for entry in entries if "DelaySeconds" in entry) == [100]


def _in(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


def test_what_is_left_when_the_channel_closes_is_given_back(channel: Channel, sqs: Sqs, hub: Hub) -> None:
    handles = sqs.put(job(), job(), job())
    Celery(channel, hub)
    eventually(lambda: len(channel.consumption.intake.in_hand()), lambda found: found == 3, within=5)
    sqs.closed.set()

    channel.close()

    shown = [entry["ReceiptHandle"] for entry in sqs.entries("change_message_visibility_batch") if not entry["VisibilityTimeout"]]
    assert sorted(shown) == sorted(handles)


def test_within_collect_messages_wait_for_its_end_and_travel_together(channel: Channel, sqs: Sqs) -> None:
    with channel.collect() as batch:
        for _ in range(12):
            channel._put(QUEUE, {"body": "[]", "headers": {"id": "x"}, "properties": {}})
        assert sqs.calls == []

    assert isinstance(batch, SendBatch)
    assert [len(request["Entries"]) for request in sqs.of("send_message_batch")] == [10, 2]


def test_the_tenant_of_a_message_is_its_group(channel: Channel) -> None:
    sender: Sender = channel.sender

    entry = sender.entry(QUEUE, {"body": "[]", "headers": {"id": "x", "tenant": "acme"}, "properties": {}})

    assert entry["MessageGroupId"] == "acme"
