"""What becomes of a message when SQS does not answer as it should. A real channel, and a fake SQS."""

import logging
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from celery import current_app
from kombu.asynchronous import Hub, set_event_loop

from app.engine.aws import clients
from app.engine.broker.channel import Channel
from tests.unit.engine.broker.fake_sqs import FakeSqs, address, client_error, connection_refused

DEAD = [connection_refused(), client_error("ServiceUnavailable", 503), client_error("AccessDenied", 403), client_error("RequestThrottled")]
IDS = ["refused", "503", "denied", "throttled"]


@pytest.fixture
def sqs(monkeypatch: pytest.MonkeyPatch) -> FakeSqs:
    fake = FakeSqs()
    monkeypatch.setattr(clients, "sqs", lambda _: fake)
    return fake


class NotedDeletes:
    """Stands where the lease thread does."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    def delete_later(self, queue: str, handle: str) -> None:
        self.asked.append((queue, handle))

    def is_waiting_to_delete(self, queue: str) -> bool:
        return any(address == queue for address, _ in self.asked)

    def stop(self) -> None:
        """Nothing runs."""


@pytest.fixture
def channel(sqs: FakeSqs) -> Iterator[Channel]:
    hub = Hub()
    set_event_loop(hub)
    connection = current_app.connection_for_write()
    found: Channel = connection.channel()
    found.do_restore = False
    found._leases = NotedDeletes()  # type: ignore[assignment]
    yield found
    found.close()
    connection.release()
    hub.close()
    set_event_loop(None)


def receive(channel: Channel, handle: str = "r", routing_key: str = "default") -> None:
    """As if this message had come from the default queue and stood in the worker's memory."""
    delivery_info = {"exchange": "", "routing_key": routing_key, "sqs_queue": address(), "sqs_message": {"ReceiptHandle": handle}}
    message = SimpleNamespace(
        delivery_info=delivery_info,
        headers={},
        serializable=lambda: {"body": "", "properties": {"delivery_tag": handle, "delivery_info": delivery_info}, "redelivered": True},
    )
    channel.qos.append(message, handle)


def failing(error: Exception) -> Any:
    def answer(_operation: str, _request: dict[str, Any]) -> dict[str, Any]:
        raise error

    return answer


def slots_taken(channel: Channel) -> int:
    return len(channel.qos._delivered) - len(channel.qos._dirty)


def test_what_is_received_is_held_until_it_is_settled(channel: Channel, sqs: FakeSqs) -> None:
    receive(channel, "first")
    receive(channel, "second")

    assert channel._held_messages() == [(address(), "first"), (address(), "second")]

    channel.basic_ack("first")

    assert channel._held_messages() == [(address(), "second")]
    assert sqs.of("delete_message") == [{"QueueUrl": address(), "ReceiptHandle": "first"}]


def test_a_message_is_deleted_where_it_came_from_whatever_its_envelope_claims(channel: Channel, sqs: FakeSqs) -> None:
    receive(channel, routing_key="no-such-queue")

    channel.basic_ack("r")

    assert sqs.of("delete_message") == [{"QueueUrl": address(), "ReceiptHandle": "r"}]


@pytest.mark.parametrize("error", DEAD, ids=IDS)
def test_a_delete_that_sqs_refuses_is_repeated_and_ends_nothing(channel: Channel, sqs: FakeSqs, error: Exception) -> None:
    receive(channel)
    sqs.answer = failing(error)

    channel.basic_ack("r")

    assert channel._leases.asked == [(address(), "r")]  # type: ignore[union-attr]
    assert slots_taken(channel) == 0


def test_while_sqs_does_not_let_us_delete_the_next_delete_is_not_even_tried(channel: Channel, sqs: FakeSqs) -> None:
    receive(channel, handle="first")
    receive(channel, handle="second")
    sqs.answer = failing(DEAD[0])

    channel.basic_ack("first")
    channel.basic_ack("second")

    assert len(sqs.of("delete_message")) == 1
    assert channel._leases.asked == [(address(), "first"), (address(), "second")]  # type: ignore[union-attr]
    assert slots_taken(channel) == 0


@pytest.mark.parametrize("requeue", [True, False])
@pytest.mark.parametrize("error", DEAD, ids=IDS)
def test_a_requeue_that_sqs_refuses_ends_nothing_and_frees_its_slot(
    channel: Channel, sqs: FakeSqs, error: Exception, requeue: bool
) -> None:
    receive(channel)
    sqs.answer = failing(error)

    channel.basic_reject("r", requeue=requeue)

    assert slots_taken(channel) == 0
    assert channel._held_messages() == []


def test_giving_back_a_message_whose_envelope_names_no_queue_ends_nothing_and_frees_its_slot(channel: Channel) -> None:
    receive(channel, routing_key="no-such-queue")

    channel.basic_reject("r", requeue=True)

    assert slots_taken(channel) == 0


def test_one_unreadable_message_does_not_take_its_neighbours_with_it(channel: Channel, caplog: pytest.LogCaptureFixture) -> None:
    seen: list[str] = []

    def deliver(payload: dict[str, Any]) -> None:
        seen.append(payload["properties"]["delivery_tag"])

    channel.connection._callbacks["default"] = deliver
    messages = [
        {"MessageId": str(number), "ReceiptHandle": f"r{number}", "Body": body}
        for number, body in enumerate(["{}", '{"properties": 5}', '{"properties": {"delivery_info": []}}', "{}"])
    ]

    with caplog.at_level(logging.ERROR):
        taken = channel._on_messages_ready(address(), "default", {"Messages": messages})

    assert taken == 4
    assert seen == ["r0", "r3"]
    assert {record.__dict__["sqs_message_id"] for record in caplog.records} == {"1", "2"}


def test_after_a_failed_poll_the_next_one_waits(channel: Channel) -> None:
    later: list[float] = []
    soon: list[Any] = []
    channel.hub = SimpleNamespace(call_later=lambda pause, *_: later.append(pause), call_soon=lambda *call: soon.append(call))
    poller = channel.asynsqs("default")

    poller._on_failure("HTTP 503")
    channel._loop1("default")
    poller._on_success()
    channel._loop1("default")

    assert len(later) == 1
    assert 0 < later[0] <= 5
    assert len(soon) == 1


def test_a_row_of_failed_polls_is_two_log_lines(channel: Channel, caplog: pytest.LogCaptureFixture) -> None:
    poller = channel.asynsqs("default")

    with caplog.at_level(logging.INFO, logger="app.engine.broker.channel"):
        for _ in range(5):
            poller._on_failure("HTTP 503")
        for _ in range(3):
            poller._on_success()

    assert [record.message for record in caplog.records] == ["sqs poll failed", "sqs polls again"]


def test_declaring_a_queue_asks_sqs_nothing(channel: Channel, sqs: FakeSqs) -> None:
    channel.queue_declare("default")

    assert sqs.calls == []


def test_within_collect_messages_wait_for_its_end_and_travel_together(channel: Channel, sqs: FakeSqs) -> None:
    with channel.collect() as batch:
        for number in range(3):
            channel._put("default", {"body": str(number), "properties": {"delivery_tag": str(number)}})
        assert sqs.calls == []

    assert [len(request["Entries"]) for request in sqs.of("send_message_batch")] == [3]
    assert batch.failures == {}


def test_after_an_error_within_collect_nothing_is_sent(channel: Channel, sqs: FakeSqs) -> None:
    def publish_and_fail() -> None:
        with channel.collect():
            channel._put("default", {"body": "", "properties": {"delivery_tag": "1"}})
            raise ValueError("halfway")

    with pytest.raises(ValueError, match="halfway"):
        publish_and_fail()

    assert sqs.calls == []
    assert channel.sqs() is sqs


def test_collect_does_not_nest(channel: Channel) -> None:
    with channel.collect(), pytest.raises(RuntimeError, match="send the outer batch first"), channel.collect():
        pass
