"""Ten messages a request; each refused message is known by its position."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.engine.broker.batching import BYTES_PER_BATCH, ENTRIES_PER_BATCH, SendBatch
from tests.unit.engine.broker.fake_sqs import FakeSqs, client_error, connection_refused, failed


def batch_of(*messages: tuple[str, str]) -> SendBatch:
    batch = SendBatch()
    for queue, body in messages:
        batch.send_message(QueueUrl=queue, MessageBody=body)
    return batch


def sent(client: FakeSqs) -> list[list[str]]:
    return [[entry["MessageBody"] for entry in request["Entries"]] for request in client.of("send_message_batch")]


def test_an_empty_batch_asks_nothing() -> None:
    client = FakeSqs()

    SendBatch().send(client)  # type: ignore[arg-type]

    assert client.calls == []


def test_messages_travel_in_tens_in_their_order() -> None:
    client = FakeSqs()

    batch_of(*[("q", str(number)) for number in range(23)]).send(client)  # type: ignore[arg-type]

    assert [len(bodies) for bodies in sent(client)] == [10, 10, 3]
    assert [body for bodies in sent(client) for body in bodies] == [str(number) for number in range(23)]


def test_a_request_is_for_one_queue() -> None:
    client = FakeSqs()

    batch_of(("a", "1"), ("b", "2"), ("a", "3")).send(client)  # type: ignore[arg-type]

    assert [(request["QueueUrl"], len(request["Entries"])) for request in client.of("send_message_batch")] == [("a", 2), ("b", 1)]


def test_a_request_never_exceeds_what_sqs_takes_counted_in_bytes() -> None:
    client = FakeSqs()
    half = "é" * (BYTES_PER_BATCH // 4)

    batch_of(("q", half), ("q", half), ("q", "x")).send(client)  # type: ignore[arg-type]

    assert [len(bodies) for bodies in sent(client)] == [2, 1]


def test_a_message_that_is_too_large_by_itself_travels_alone_for_sqs_to_refuse() -> None:
    def answer(_: str, request: dict[str, Any]) -> dict[str, Any]:
        if len(request["Entries"][0]["MessageBody"]) > BYTES_PER_BATCH:
            raise client_error("AWS.SimpleQueueService.BatchRequestTooLong")
        return {}

    client = FakeSqs(answer)
    batch = batch_of(("q", "small"), ("q", "x" * (BYTES_PER_BATCH + 1)), ("q", "small too"))

    batch.send(client)  # type: ignore[arg-type]

    assert list(batch.failures) == [1]
    assert [len(bodies) for bodies in sent(client)] == [1, 1, 1]


def test_everything_but_the_address_of_the_queue_reaches_the_entry() -> None:
    client = FakeSqs()
    batch = SendBatch()
    batch.send_message(QueueUrl="q", MessageBody="m", DelaySeconds=5, MessageGroupId="tenant")

    batch.send(client)  # type: ignore[arg-type]

    assert client.of("send_message_batch") == [
        {"QueueUrl": "q", "Entries": [{"Id": "0", "MessageBody": "m", "DelaySeconds": 5, "MessageGroupId": "tenant"}]}
    ]


def test_what_sqs_refuses_within_a_request_is_known_by_its_position_among_all_messages() -> None:
    def answer(_: str, request: dict[str, Any]) -> dict[str, Any]:
        return {"Failed": [failed(entry["Id"]) for entry in request["Entries"] if entry["MessageBody"] == "bad"]}

    batch = batch_of(*[("a" if number % 2 else "b", "bad" if number in (3, 24) else "good") for number in range(25)])

    batch.send(FakeSqs(answer))  # type: ignore[arg-type]

    assert batch.failures == {3: "InternalError: no", 24: "InternalError: no"}


def test_one_bad_message_that_refuses_the_whole_request_is_found_and_its_neighbours_are_sent() -> None:
    def answer(_: str, request: dict[str, Any]) -> dict[str, Any]:
        if any(entry["MessageBody"] == "\x00" for entry in request["Entries"]):
            raise client_error("InvalidMessageContents")
        return {}

    client = FakeSqs(answer)
    batch = batch_of(("q", "a"), ("q", "\x00"), ("q", "b"))

    batch.send(client)  # type: ignore[arg-type]

    assert list(batch.failures) == [1]
    assert "InvalidMessageContents" in batch.failures[1]
    assert sent(client) == [["a", "\x00", "b"], ["a"], ["\x00"], ["b"]]


def test_a_text_that_has_no_bytes_is_for_sqs_to_refuse_and_its_neighbours_are_sent() -> None:
    def answer(_: str, request: dict[str, Any]) -> dict[str, Any]:
        return {"Failed": [failed(entry["Id"], sender_fault=True) for entry in request["Entries"] if entry["MessageBody"] == "\ud800"]}

    client = FakeSqs(answer)
    batch = batch_of(*[("q", "\ud800" if number == 14 else "m") for number in range(25)])

    batch.send(client)  # type: ignore[arg-type]

    assert list(batch.failures) == [14]
    assert [len(bodies) for bodies in sent(client)] == [10, 10, 5]


@pytest.mark.parametrize(
    "error",
    [connection_refused(), client_error("ServiceUnavailable", 503), client_error("RequestThrottled"), OSError("reset")],
    ids=["refused", "503", "throttled", "reset"],
)
def test_what_got_no_answer_is_known_by_its_position_with_queue_and_cause(error: Exception) -> None:
    def answer(_: str, _request: dict[str, Any]) -> dict[str, Any]:
        raise error

    batch = batch_of(("q", "m"), ("q", "n"))

    batch.send(FakeSqs(answer))  # type: ignore[arg-type]

    assert batch.failures == {}
    assert batch.unanswered == dict.fromkeys((0, 1), f"q: {error}")


def test_after_a_request_without_an_answer_nothing_more_is_asked_and_what_was_sent_is_not_counted() -> None:
    def answer(_: str, request: dict[str, Any]) -> dict[str, Any]:
        if request["Entries"][0]["Id"] == "10":
            raise connection_refused()
        return {}

    client = FakeSqs(answer)
    batch = batch_of(*[("a", "m") for _ in range(25)], ("b", "m"))

    batch.send(client)  # type: ignore[arg-type]

    assert len(client.calls) == 2
    assert sorted(batch.unanswered) == list(range(10, 26))
    assert set(batch.unanswered.values()) == {f"a: {connection_refused()}"}


def test_while_a_bad_message_is_looked_for_one_without_an_answer_ends_the_search_too() -> None:
    def answer(_: str, request: dict[str, Any]) -> dict[str, Any]:
        raise client_error("InvalidMessageContents") if len(request["Entries"]) > 1 else connection_refused()

    client = FakeSqs(answer)
    batch = batch_of(*[("q", "m") for _ in range(5)])

    batch.send(client)  # type: ignore[arg-type]

    assert len(client.calls) == 2
    assert sorted(batch.unanswered) == [0, 1, 2, 3, 4]
    assert batch.failures == {}


@given(
    st.lists(
        st.tuples(st.sampled_from(["a", "b", "c"]), st.sampled_from([1, 1000, BYTES_PER_BATCH // 3, BYTES_PER_BATCH, BYTES_PER_BATCH + 1])),
        max_size=40,
    )
)
@settings(max_examples=60)
def test_no_position_is_lost_doubled_or_reordered_within_its_queue(messages: list[tuple[str, int]]) -> None:
    bodies = {size: "x" * size for _, size in messages}
    client = FakeSqs()

    batch_of(*[(queue, bodies[size]) for queue, size in messages]).send(client)  # type: ignore[arg-type]

    positions: dict[str, list[int]] = {}
    for request in client.of("send_message_batch"):
        positions.setdefault(request["QueueUrl"], []).extend(int(entry["Id"]) for entry in request["Entries"])
        assert 1 <= len(request["Entries"]) <= ENTRIES_PER_BATCH
        total = sum(len(entry["MessageBody"]) for entry in request["Entries"])
        assert total <= BYTES_PER_BATCH or len(request["Entries"]) == 1
    assert positions == {
        queue: [position for position, (name, _) in enumerate(messages) if name == queue] for queue in {name for name, _ in messages}
    }
