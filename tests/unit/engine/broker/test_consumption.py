"""The working parts of a consuming channel together: what a delivery is, and what becomes of it."""

import json
import pickle
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from app.engine.broker.claim_check import ClaimChecks
from app.engine.broker.consumption import Consumption
from app.engine.broker.dead_letters import Cause
from app.engine.broker.lineage import ELSEWHERE, NEVER, REDRIVE, Redrive, lineage_of
from app.engine.broker.options import BrokerOptions, ClaimCheckOptions, QueueOptions
from app.engine.broker.put_off import PutOff, times_put_off
from app.engine.broker.received import CAUSE, PARKED_SINCE, Received
from tests.support.eventually import eventually
from tests.support.hostile import encoded, valid_message
from tests.unit.engine.broker.fake_s3 import FakeS3
from tests.unit.engine.broker.fake_sqs import Backlog, FakeSqs, client_error, raw

# Celery writes some names of queues as SQS does not.
QUEUE = "jobs.high"
URL, FIFO, DEAD_LETTERS = "https://sqs/1/jobs", "https://sqs/1/jobs.fifo", "https://sqs/1/jobs-dead-letters"
BUCKET = "artifacts"
FAILED = Cause(reason="failed", message="no")
Answer = Callable[[str, dict[str, Any]], dict[str, Any]]


class Sqs(FakeSqs):
    """Hands out what a test puts in, and answers everything else as the test says."""

    def __init__(self) -> None:
        super().__init__()
        self.backlog = Backlog()

    def receive_message(self, **request: Any) -> dict[str, Any]:
        return self.backlog.receive_message(**request)

    def entries(self, operation: str) -> list[dict[str, Any]]:
        return [entry for request in self.of(operation) for entry in request["Entries"]]

    def gone(self) -> list[str]:
        return [entry["ReceiptHandle"] for entry in self.entries("delete_message_batch")]

    def sent(self) -> list[tuple[str, dict[str, Any]]]:
        return [(request["QueueUrl"], entry) for request in self.of("send_message_batch") for entry in request["Entries"]]


class Bench:
    def __init__(self, *, dead_letter_url: str | None = DEAD_LETTERS, **more: Any) -> None:
        self.sqs, self.s3 = Sqs(), FakeS3()
        self.claims = ClaimChecks(ClaimCheckOptions(bucket=BUCKET, larger_than_bytes=0), lambda: self.s3)
        queues = {
            QUEUE: QueueOptions(name=QUEUE, url=URL, dead_letter_url=dead_letter_url),
            "jobs.fifo": QueueOptions(name="jobs.fifo", url=FIFO, dead_letter_url=dead_letter_url),
        }
        self.consumption = Consumption(
            BrokerOptions(queues=queues, delete_linger_seconds=0, wait_time_seconds=2, **more),
            lambda: self.sqs,
            claims=self.claims,
            wake=lambda: None,
        )
        self.consumption.intake.resize(10)

    def put(self, message: dict[str, Any], name: str = "m", url: str = URL, **more: Any) -> None:
        self.sqs.backlog.put(url, raw(name, body=encoded(message), **more))

    def consume(self, queue: str = QUEUE) -> None:
        self.consumption.consume(queue)

    def take(self) -> Received:
        received = eventually(self.consumption.intake.take, lambda found: found is not None)
        assert received is not None
        return received

    def deliver(self, message: dict[str, Any] | None = None, **more: Any) -> Received:
        self.consume()
        self.put(message or valid_message(), **more)
        return self.take()

    def claim(self, body: str = '[[], {}, {"callbacks": null, "errbacks": null, "chain": null, "chord": null}]') -> dict[str, str]:
        return self.claims.put(body, QUEUE, "id")

    def flush(self) -> None:
        assert self.consumption._settlement.flush(5)

    def close(self) -> None:
        self.consumption.intake.stop()
        self.sqs.backlog.end_polls()
        self.consumption.close()


@pytest.fixture
def make() -> Iterator[Callable[..., Bench]]:
    made: list[Bench] = []

    def bench(**options: Any) -> Bench:
        made.append(Bench(**options))
        return made[-1]

    yield bench
    for one in made:
        one.close()


@pytest.fixture
def bench(make: Callable[..., Bench]) -> Bench:
    return make()


def in_seconds(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


# -- the ends of a delivery ---------------------------------------------------------------------------------------------------


def test_a_finished_job_s_message_is_deleted_and_then_its_body(bench: Bench) -> None:
    received = bench.deliver(valid_message(claim_check=bench.claim()))

    bench.consumption.finish(received.tag)

    bench.flush()
    assert bench.sqs.gone() == ["m#1"]
    assert bench.s3.objects == {}


def test_what_is_given_back_keeps_its_body(bench: Bench) -> None:
    received = bench.deliver(valid_message(claim_check=bench.claim()))

    bench.consumption.give_back(received.tag)

    bench.flush()
    (entry,) = bench.sqs.entries("change_message_visibility_batch")
    assert (entry["ReceiptHandle"], entry["VisibilityTimeout"]) == ("m#1", 0)
    assert len(bench.s3.objects) == 1


def test_a_dead_letter_keeps_its_body(bench: Bench) -> None:
    received = bench.deliver(valid_message(claim_check=bench.claim()))

    bench.consumption.refuse(received.tag, FAILED)

    eventually(bench.sqs.gone, ["m#1"])
    bench.flush()
    assert [url for url, _ in bench.sqs.sent()] == [DEAD_LETTERS]
    assert len(bench.s3.objects) == 1


def test_a_delivery_is_settled_once(bench: Bench) -> None:
    received = bench.deliver()

    bench.consumption.finish(received.tag)
    bench.consumption.refuse(received.tag, FAILED)
    bench.consumption.give_back(received.tag)

    bench.flush()
    assert bench.sqs.gone() == ["m#1"]
    assert bench.sqs.sent() == []
    assert bench.sqs.of("change_message_visibility_batch") == []


def test_the_cause_that_was_noted_is_the_dead_letter_s(bench: Bench) -> None:
    received = bench.deliver()
    bench.consumption.note_cause(received.tag, FAILED)

    bench.consumption.refuse(received.tag, Cause(reason="other", message=""))

    eventually(bench.sqs.sent)
    cause = json.loads(bench.sqs.sent()[0][1]["MessageAttributes"][CAUSE]["StringValue"])
    assert (cause["reason"], cause["queue"], cause["task"]) == ("failed", QUEUE, received.task)


@pytest.mark.parametrize("settle", ["finish", "give_back", "refuse"])
def test_no_cause_outlives_its_delivery_even_if_it_is_noted_when_all_is_over(bench: Bench, settle: str) -> None:
    received = bench.deliver()
    bench.consumption.note_cause(received.tag, FAILED)
    getattr(bench.consumption, settle)(received.tag)

    # A task that acknowledges early fails after that.
    bench.consumption.note_cause(received.tag, FAILED)

    assert bench.consumption._causes == {}


# -- where dead letters go ------------------------------------------------------------------------------------------------------


def redrive_policy(_operation: str, request: dict[str, Any]) -> dict[str, Any]:
    policy = json.dumps({"deadLetterTargetArn": "arn:aws:sqs:eu-central-1:1:jobs-dead-letters", "maxReceiveCount": 3})
    return {"Attributes": {"VisibilityTimeout": "30", "RedrivePolicy": policy}} if "AttributeNames" in request else {}


def test_a_queue_that_was_not_told_where_dead_letters_go_is_asked(make: Callable[..., Bench]) -> None:
    bench = make(dead_letter_url=None)
    bench.sqs.answer = redrive_policy
    received = bench.deliver()

    bench.consumption.refuse(received.tag, FAILED)

    eventually(bench.sqs.gone, ["m#1"])
    assert [url for url, _ in bench.sqs.sent()] == [DEAD_LETTERS]


def test_who_refuses_a_message_does_not_wait_for_the_queue_s_answer(make: Callable[..., Bench]) -> None:
    bench = make(dead_letter_url=None)
    received = bench.deliver()
    asked, answered = threading.Event(), threading.Event()

    def answer(operation: str, request: dict[str, Any]) -> dict[str, Any]:
        if operation == "get_queue_attributes":
            asked.set()
            answered.wait(10)
        return redrive_policy(operation, request)

    bench.consumption._book._ask_at.clear()
    bench.sqs.answer = answer

    bench.consumption.refuse(received.tag, FAILED)

    assert asked.wait(5)
    assert bench.sqs.sent() == []
    bench.put(valid_message(), receive_count=2)
    eventually(lambda: bench.sqs.backlog.left(URL), 0)
    eventually(lambda: received.handle, "m#2")
    assert bench.sqs.gone() == [], "it is no copy of a message that was dealt with: nothing has been sent yet"
    answered.set()
    eventually(bench.sqs.gone, ["m#2"])


def test_a_dead_letter_is_not_dropped_because_its_queue_did_not_answer(
    make: Callable[..., Bench], caplog: pytest.LogCaptureFixture
) -> None:
    bench = make(dead_letter_url=None)

    def answer(operation: str, _request: dict[str, Any]) -> dict[str, Any]:
        if operation == "get_queue_attributes":
            raise client_error("AccessDenied", 403)
        return {}

    bench.sqs.answer = answer
    received = bench.deliver()

    bench.consumption.refuse(received.tag, FAILED)

    eventually(lambda: "message cannot be moved" in caplog.messages)
    bench.flush()
    assert bench.sqs.gone() == []
    assert bench.consumption._unburied == {}


def test_a_dead_letter_of_a_queue_that_surely_has_none_is_dropped_with_an_error(
    make: Callable[..., Bench], caplog: pytest.LogCaptureFixture
) -> None:
    bench = make(dead_letter_url=None)
    received = bench.deliver()

    bench.consumption.refuse(received.tag, FAILED)

    eventually(bench.sqs.gone, ["m#1"])
    assert bench.sqs.sent() == []
    assert "dead letter dropped: its queue has no dead-letter queue" in caplog.messages


# -- what a delivery is -----------------------------------------------------------------------------------------------------------


def test_a_body_in_s3_is_there_when_the_message_is_delivered_and_the_claim_is_not(bench: Bench) -> None:
    received = bench.deliver(valid_message(claim_check=bench.claim('[[1], {}, {"chain": null}]')))

    assert received.payload["body"] == '[[1], {}, {"chain": null}]'
    assert received.payload["properties"]["body_encoding"] == "utf-8"
    assert "claim_check" not in received.payload["headers"]


def test_a_body_that_s3_does_not_give_is_tried_again_later(bench: Bench) -> None:
    bench.consume()
    bench.put(valid_message(claim_check={"bucket": BUCKET, "key": "claim-checks/gone"}))

    (entry,) = eventually(lambda: bench.sqs.entries("change_message_visibility_batch"))
    assert entry["VisibilityTimeout"] == 30
    assert bench.sqs.gone() == []


@pytest.mark.parametrize("claim", [{"bucket": "other", "key": "claim-checks/x"}, {"bucket": BUCKET, "key": "invoices/x"}])
def test_a_claim_to_what_is_not_ours_is_a_dead_letter(bench: Bench, claim: dict[str, str]) -> None:
    bench.consume()
    bench.put(valid_message(claim_check=claim))

    eventually(bench.sqs.gone, ["m#1"])
    cause = json.loads(bench.sqs.sent()[0][1]["MessageAttributes"][CAUSE]["StringValue"])
    assert cause["reason"] == "claim-check"


def test_a_job_that_was_put_off_is_sent_again_with_a_growing_delay_and_counts(bench: Bench) -> None:
    cause = {CAUSE: {"DataType": "String", "StringValue": "{}"}}
    others = {f"other{number}": {"DataType": "String", "StringValue": "x"} for number in range(9)}
    bench.consume()
    bench.put(valid_message(), MessageAttributes=others | cause)
    first = bench.take()

    bench.consumption.note_put_off(first.tag, PutOff("database", "refused"))
    bench.consumption.give_back(first.tag)

    eventually(bench.sqs.gone, ["m#1"])
    ((url, entry),) = bench.sqs.sent()
    assert (url, entry["MessageBody"], entry["DelaySeconds"]) == (URL, first.raw["Body"], 2)
    assert entry["MessageAttributes"]["put_off"] == {"DataType": "Number", "StringValue": "1"}
    assert len(entry["MessageAttributes"]) == 10
    bench.put(valid_message(), name="copy", MessageAttributes=entry["MessageAttributes"])
    second = bench.take()
    assert times_put_off(SimpleNamespace(properties=second.payload["properties"])) == 1
    bench.consumption.note_put_off(second.tag, PutOff("database", "refused"))
    bench.consumption.give_back(second.tag)
    eventually(lambda: len(bench.sqs.sent()), 2)
    assert bench.sqs.sent()[1][1]["DelaySeconds"] == 4
    assert bench.sqs.entries("change_message_visibility_batch") == []


@pytest.mark.parametrize(("seconds", "delay"), [(62, 62), (5000, 900), (0, 1)])
def test_a_job_that_is_put_off_for_a_known_time_waits_for_so_long_and_is_not_counted(bench: Bench, seconds: int, delay: int) -> None:
    bench.consume()
    bench.put(valid_message(), MessageAttributes={"put_off": {"DataType": "Number", "StringValue": "3"}})
    received = bench.take()

    bench.consumption.note_put_off(received.tag, pickle.loads(pickle.dumps(PutOff("breaker partner", "open", seconds))))  # noqa: S301 — as the pool does
    bench.consumption.give_back(received.tag)

    ((_, entry),) = eventually(bench.sqs.sent)
    assert entry["DelaySeconds"] == delay
    assert entry["MessageAttributes"]["put_off"] == {"DataType": "Number", "StringValue": "3"}


def test_a_put_off_message_that_comes_again_before_it_is_deleted_is_not_run(bench: Bench) -> None:
    received = bench.deliver()
    bench.consumption.note_put_off(received.tag, PutOff("database", "refused"))
    bench.consumption.give_back(received.tag)
    eventually(bench.sqs.gone, ["m#1"])

    bench.put(valid_message(), receive_count=2)

    eventually(bench.sqs.gone, ["m#1", "m#2"])
    assert len(bench.sqs.sent()) == 1


def test_a_fifo_message_that_was_put_off_keeps_its_place(bench: Bench) -> None:
    bench.consume("jobs.fifo")
    bench.put(valid_message(), url=FIFO)
    received = bench.take()

    bench.consumption.note_put_off(received.tag, PutOff("database", "refused"))
    bench.consumption.give_back(received.tag)

    (entry,) = eventually(lambda: bench.sqs.entries("change_message_visibility_batch"))
    assert (entry["VisibilityTimeout"], bench.sqs.sent(), bench.sqs.gone()) == (2, [], [])
    bench.put(valid_message(), url=FIFO, receive_count=2)
    assert bench.take().handle == "m#2"


def test_a_message_for_an_unknown_task_is_sent_again_with_a_growing_delay_and_keeps_its_body(bench: Bench) -> None:
    bench.consume()
    since = int(time.time()) - 100
    bench.put(
        valid_message(task="unknown.to_this_worker", claim_check=bench.claim()),
        MessageAttributes={PARKED_SINCE: {"DataType": "Number", "StringValue": str(since)}},
    )

    eventually(bench.sqs.gone, ["m#1"])
    bench.flush()
    ((url, entry),) = bench.sqs.sent()
    assert url == URL
    assert 100 <= entry["DelaySeconds"] <= 102
    assert entry["MessageAttributes"][PARKED_SINCE]["StringValue"] == str(since)
    assert len(bench.s3.objects) == 1, "the copy in the queue refers to it"


def test_a_message_for_a_task_that_stays_unknown_is_a_dead_letter(bench: Bench) -> None:
    bench.consume()
    bench.put(
        valid_message(task="unknown.to_this_worker"),
        MessageAttributes={PARKED_SINCE: {"DataType": "Number", "StringValue": str(int(time.time()) - 3601)}},
    )

    eventually(bench.sqs.gone, ["m#1"])
    assert [url for url, _ in bench.sqs.sent()] == [DEAD_LETTERS]


@pytest.mark.parametrize("since", ["99999999999", "inf", "nan", "soon", "1e400"])
def test_nobody_can_have_a_message_parked_for_ever(bench: Bench, since: str) -> None:
    bench.consume()
    now = int(time.time())
    bench.put(valid_message(task="unknown.to_this_worker"), MessageAttributes={PARKED_SINCE: {"DataType": "Number", "StringValue": since}})

    eventually(bench.sqs.gone, ["m#1"])
    ((_, entry),) = bench.sqs.sent()
    assert now <= int(entry["MessageAttributes"][PARKED_SINCE]["StringValue"]) <= now + 10


def test_a_message_that_is_not_due_is_sent_again_without_the_cause_of_an_earlier_death_and_is_still_sent_back(bench: Bench) -> None:
    bench.consume()
    kept = {"DataType": "String", "StringValue": "kept"}
    bench.put(valid_message(eta=in_seconds(100)), MessageAttributes={"reason": kept, "cause": kept, "own": kept})

    eventually(bench.sqs.gone, ["m#1"])
    ((url, entry),) = bench.sqs.sent()
    assert (url, set(entry["MessageAttributes"])) == (URL, {"own", REDRIVE})
    assert lineage_of(entry["MessageAttributes"]).count == 1  # type: ignore[union-attr]
    assert 98 <= entry["DelaySeconds"] <= 100


def test_a_message_of_a_fifo_queue_waits_where_it_is(bench: Bench) -> None:
    bench.consume("jobs.fifo")
    bench.put(valid_message(eta=in_seconds(100)), url=FIFO)

    (entry,) = eventually(lambda: bench.sqs.entries("change_message_visibility_batch"))
    assert 98 <= entry["VisibilityTimeout"] <= 100
    assert bench.sqs.sent() == []


# -- the end --------------------------------------------------------------------------------------------------------------------


def test_a_close_gives_back_what_runs_and_what_waits(bench: Bench) -> None:
    bench.deliver()
    bench.put(valid_message(), name="waits")
    eventually(lambda: len(bench.consumption.intake.in_hand()), 2)

    bench.close()

    shown = sorted(entry["ReceiptHandle"] for entry in bench.sqs.entries("change_message_visibility_batch"))
    assert shown == ["m#1", "waits#1"]
    assert not bench.consumption._housekeeping._thread.is_alive()


def test_everything_in_hand_is_looked_after_by_the_heartbeat(make: Callable[..., Bench]) -> None:
    bench = make(dead_letter_url=None)
    bench.sqs.visibility_timeouts[URL] = 1

    bench.deliver()

    eventually(lambda: bench.sqs.entries("change_message_visibility_batch"))
    assert bench.sqs.entries("change_message_visibility_batch")[0] == {"Id": "0", "ReceiptHandle": "m#1", "VisibilityTimeout": 1}


# -- sent back from the dead letters --------------------------------------------------------------------------------------


def test_a_message_that_was_sent_back_begins_its_attempts_anew_and_its_retries_will_say_so(bench: Bench) -> None:
    lineage = NEVER.and_then(Redrive(by="ada", at="2026-01-02", letter="jobs-1"))

    received = bench.deliver(valid_message(retries=3), MessageAttributes={REDRIVE: lineage.as_attribute()})

    assert received.is_redriven
    assert received.redrives == 1
    assert received.payload["headers"]["retries"] == 0
    assert received.payload["headers"][REDRIVE] == lineage.as_header()


def test_its_retry_counts_on_and_remembers_where_it_comes_from(bench: Bench) -> None:
    lineage = NEVER.and_then(Redrive(by="ada", at="2026-01-02"))

    received = bench.deliver(valid_message(retries=2, redrive=lineage.as_header()))

    assert not received.is_redriven
    assert (received.redrives, received.payload["headers"]["retries"]) == (1, 2)


def test_its_second_death_shows_the_first(bench: Bench) -> None:
    lineage = NEVER.and_then(Redrive(by="ada", at="2026-01-02"))
    received = bench.deliver(valid_message(retries=2, redrive=lineage.as_header()))

    bench.consumption.refuse(received.tag, FAILED)

    ((_, entry),) = eventually(bench.sqs.sent)
    assert lineage_of(entry["MessageAttributes"]) == lineage


def test_what_another_tool_has_sent_back_is_known_by_its_cause_and_counted(bench: Bench) -> None:
    lineage = NEVER.and_then(Redrive(by="ada", at="2026-01-02"))
    cause = {"DataType": "String", "StringValue": "{}"}

    received = bench.deliver(valid_message(retries=3), MessageAttributes={CAUSE: cause, REDRIVE: lineage.as_attribute()})

    assert received.lineage is not None
    assert (received.redrives, received.lineage.redrives[-1].by) == (2, ELSEWHERE)
    assert received.payload["headers"]["retries"] == 0


def test_what_was_sent_back_and_is_put_off_stays_sent_back(bench: Bench) -> None:
    bench.consume()
    lineage = NEVER.and_then(Redrive(by="ada", at="2026-01-02"))
    later = (datetime.now(UTC) + timedelta(seconds=120)).isoformat()
    bench.put(valid_message(eta=later), MessageAttributes={REDRIVE: lineage.as_attribute()})

    ((_, entry),) = eventually(bench.sqs.sent)
    assert lineage_of(entry["MessageAttributes"]) == lineage
