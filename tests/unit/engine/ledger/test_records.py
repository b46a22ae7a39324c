"""What is known of a task, into an item and back."""

import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from celery import current_app, states
from celery.app.task import Context
from celery.worker.request import Request
from kombu.message import Message

from app.engine.ledger.records import BY_FINGERPRINT, BY_STATE, INDEX, LONGEST_ERROR, SHARDS_PER_DAY, day_shards, describe_run, read_record
from app.topology import IndexPolicy
from app.topology.tables import LEDGER

NOON = datetime(2026, 1, 2, 12, 0, 0, 250_000, tzinfo=UTC)


def context(**fields: Any) -> Context:
    """The request as the run itself sees it."""
    return Context(
        **{
            "id": "7c1f",
            "task": "payments.capture",
            "retries": 0,
            "hostname": "default@worker-1",
            "delivery_info": {"routing_key": "default"},
            **fields,
        }
    )


def main_process_request(retries: int = 0) -> Request:
    """The request as the worker's main process sees it, which reports a child that was killed."""
    headers = {
        "id": "7c1f",
        "task": "engine.debug_task",
        "retries": retries,
        "lang": "py",
        "root_id": "7c1f",
        "argsrepr": "",
        "kwargsrepr": "",
    }
    message = Message(
        body=json.dumps([[], {}, {}]),
        headers=headers,
        content_type="application/json",
        content_encoding="utf-8",
        delivery_info={"routing_key": "default", "exchange": ""},
        properties={},
    )
    return Request(
        message,
        app=current_app,
        hostname="default@worker-1",
        headers=headers,
        decoded=False,
        body=message.body,
        task=current_app.tasks["engine.debug_task"],
    )


def stored(state: str, result: Any, request: Any) -> dict[str, Any]:
    described = describe_run(state, result, request, recorded_at=NOON.timestamp())
    return described | {LEDGER.partition_key.name: {"S": "celery-task-meta-7c1f"}}


def test_what_a_run_reported_is_read_back() -> None:
    record = read_record(stored(states.SUCCESS, {"ok": True}, context(retries=2)))

    assert record.id == "7c1f"
    assert (record.task, record.queue, record.state, record.worker) == ("payments.capture", "default", "SUCCESS", "default@worker-1")
    assert record.attempts == 3
    assert record.error == ""
    assert record.run_time is None
    assert record.recorded_at == NOON


@pytest.mark.parametrize("index", [INDEX, BY_STATE, BY_FINGERPRINT], ids=lambda index: index.name)
def test_a_failure_is_in_each_index_with_all_that_its_policy_promises(index: IndexPolicy) -> None:
    request = context(run_started=1.0)
    item = describe_run(states.FAILURE, ValueError("no"), request, NOON.timestamp(), fingerprint="0a1b2c")

    assert {*index.projected, index.partition_key.name, index.sort_key.name} <= set(item)


def test_a_success_is_in_one_index_only() -> None:
    keys = {index.partition_key.name for index in LEDGER.indexes}

    assert keys & set(stored(states.SUCCESS, 42, context())) == {INDEX.partition_key.name}


@pytest.mark.parametrize(("state", "is_final"), [(states.SUCCESS, True), (states.FAILURE, True), (states.RETRY, False)])
def test_what_ended_has_a_time_at_which_it_did(state: str, is_final: bool) -> None:
    assert ("finished_at" in stored(state, None, context())) is is_final


def test_the_record_of_a_result_keeps_what_the_claim_knew() -> None:
    sqs_message = {"MessageId": "m", "Attributes": {"ApproximateReceiveCount": "3", "MessageGroupId": "acme"}}
    request = context(root_id="1", parent_id="2", group="g", properties={"delivery_info": {"sqs_message": sqs_message}})

    item = describe_run(states.SUCCESS, None, request, NOON.timestamp(), release="v7")

    assert {name: item[name] for name in ("root", "parent", "in_group", "tenant", "message_id", "receives", "release")} == {
        "root": {"S": "1"},
        "parent": {"S": "2"},
        "in_group": {"S": "g"},
        "tenant": {"S": "acme"},
        "message_id": {"S": "m"},
        "receives": {"N": "3"},
        "release": {"S": "v7"},
    }


def test_the_run_time_is_measured_from_the_start_of_the_run() -> None:
    import time

    record = read_record(stored(states.SUCCESS, None, context(run_started=time.monotonic() - 1.5)))

    assert record.run_time is not None
    assert timedelta(seconds=1.5) <= record.run_time < timedelta(seconds=10)


@pytest.mark.parametrize(
    ("result", "error"),
    [
        (ValueError("wrong amount"), "ValueError: wrong amount"),
        ({"exc_type": "CardDeclined", "exc_message": ["expired_card", 402], "exc_module": "shop"}, "CardDeclined: expired_card, 402"),
        ({"exc_type": "CardDeclined", "exc_message": "expired", "exc_module": "shop"}, "CardDeclined: expired"),
        ({"payment": 1}, ""),
        ("text", ""),
        (None, ""),
    ],
)
def test_an_error_is_its_class_and_its_message(result: Any, error: str) -> None:
    assert read_record(stored(states.FAILURE, result, context())).error == error


def test_a_long_error_is_cut() -> None:
    assert len(read_record(stored(states.FAILURE, ValueError("x" * 5000), context())).error) == LONGEST_ERROR


def test_every_kind_of_request_counts_attempts_from_one() -> None:
    for retries in (0, 1):
        reported = main_process_request(retries)
        for request in (context(retries=retries), reported, reported._context):
            assert read_record(stored(states.FAILURE, None, request)).attempts == retries + 1


@pytest.mark.parametrize("request_", [main_process_request(), main_process_request()._context], ids=["request", "context"])
def test_a_killed_child_is_recorded_with_task_queue_and_worker(request_: Any) -> None:
    record = read_record(stored(states.FAILURE, ValueError("killed"), request_))

    assert (record.task, record.queue, record.worker) == ("engine.debug_task", "default", "default@worker-1")


@pytest.mark.parametrize("request_", [None, Context(), SimpleNamespace(task=None)], ids=["none", "empty", "unnamed"])
def test_without_a_run_there_is_nothing_to_find_but_the_state(request_: Any) -> None:
    assert describe_run(states.REVOKED, None, request_, recorded_at=NOON.timestamp()) == {"state": {"S": "REVOKED"}}


def test_a_task_stays_in_one_shard_and_tasks_spread_over_all() -> None:
    shards = {
        describe_run(states.STARTED, None, context(id=f"id-{n}"), NOON.timestamp())[INDEX.partition_key.name]["S"] for n in range(200)
    }
    twice = {describe_run(state, None, context(), NOON.timestamp())[INDEX.partition_key.name]["S"] for state in ("STARTED", "SUCCESS")}

    assert shards == set(day_shards(NOON)) == {f"2026-01-02#{shard}" for shard in range(SHARDS_PER_DAY)}
    assert len(twice) == 1


def test_a_record_of_an_older_release_is_still_read() -> None:
    record = read_record({"id": {"S": "celery-task-meta-1"}, INDEX.sort_key.name: {"N": str(NOON.timestamp())}})

    assert (record.id, record.task, record.attempts, record.run_time) == ("1", "", 1, None)
