"""Who is alive, and what becomes of messages that a worker holds."""

import json
from typing import Any

import pytest

from app.topology.metrics import WORKER_SLOTS, WORKER_SLOTS_BUSY
from tests.support.eventually import eventually
from tests.support.faults import Network


def _workers(stack: Any) -> list[Any]:
    done = stack.python(
        "import json\nfrom datetime import UTC, datetime\nfrom app.engine.conf import engine_settings\n"
        "from app.engine.workers.registry import live_workers\n"
        "print(json.dumps([[w.service, list(w.queues), w.slots, w.release] for w in live_workers(engine_settings(), datetime.now(UTC))]))"
    )
    assert done.returncode == 0, done.stderr
    answer: list[Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return answer


def _send(stack: Any, count: int = 1) -> None:
    done = stack.python(f"from celery import current_app\nfor _ in range({count}):\n    current_app.tasks['engine.debug_task'].delay()")
    assert done.returncode == 0, done.stderr


def _ended(worker: Any) -> set[str]:
    """The jobs whose runs ended: one that was delivered twice counts once."""
    return {line["task_id"] for line in worker.lines() if line.get("message") == "task ended"}


def test_a_worker_is_listed_while_it_lives_and_gone_when_it_stops(stack: Any) -> None:
    (worker,) = stack.start("worker-emails", RELEASE="v42")

    eventually(lambda: _workers(stack), [["worker-emails", ["emails"], 4, "v42"]], within=20)
    (figures,) = (line for line in worker.lines() if WORKER_SLOTS.name in line)
    assert (figures["Service"], figures[WORKER_SLOTS.name], figures[WORKER_SLOTS_BUSY.name]) == ("worker-emails", [4], [0])
    assert worker.stop() == 0
    assert _workers(stack) == []


def test_beat_and_the_relay_are_heard_of_while_their_loops_turn(stack: Any) -> None:
    services = stack.start("beat", "outbox-relay")

    eventually(lambda: {service for service, *_ in _workers(stack)}, {"beat", "outbox-relay"}, within=15)
    figures = {"ScheduleLag", "OutboxLag", "OutboxWaiting", "LateRecords"}
    eventually(lambda: {name for service in services for line in service.lines() for name in line} & figures, figures, within=15)

    for service in services:
        assert service.stop() == 0
    assert _workers(stack) == []


def test_an_idle_worker_stops_within_seconds_of_sigterm(stack: Any) -> None:
    (worker,) = stack.start("worker-default")

    worker.process.terminate()

    worker.process.wait(10)


def test_a_stopping_worker_finishes_what_ends_within_the_grace_and_gives_back_the_rest(stack: Any) -> None:
    stack.network.habits(duplicates=0)  # a second delivery would be a third run
    worker = stack.start_program(
        "worker-default",
        "from datetime import timedelta\n"
        "from app.engine.workers import grace\n"
        "grace.MARGIN = timedelta(seconds=120 - 5)\n"
        "from app.config.celery import celery_app\n"
        "celery_app.worker_main(['worker', '--queues', 'default', '--concurrency', '2', '--loglevel', 'INFO'])\n",
    )
    done = stack.python("from celery import current_app\n[current_app.tasks['engine.debug_task'].delay(seconds=s) for s in (2, 90)]")
    assert done.returncode == 0, done.stderr
    eventually(lambda: len([line for line in worker.lines() if line.get("message") == "task started"]), 2, within=15)

    worker.process.terminate()
    worker.process.wait(20)

    outcomes = [line["outcome"] for line in worker.lines() if line.get("message") == "task ended"]
    assert outcomes == ["success", "interrupted"]
    # Given back, not left to the visibility timeout of a minute; kombu hides it for one long poll more.
    eventually(lambda: stack.depth("default"), (1, 0), within=25)


@pytest.mark.long
def test_a_worker_outlives_an_sqs_that_refuses_every_connection(stack: Any) -> None:
    (worker,) = stack.start("worker-default")
    _send(stack)
    # It begins to receive when it has read its mailbox.
    eventually(lambda: len(_ended(worker)), 1, within=15)
    stack.network.become(Network.REFUSED)
    eventually(lambda: [line for line in worker.lines() if line.get("message") == "sqs poll failed"])

    stack.network.become(Network.HEALTHY)
    _send(stack, 3)

    eventually(lambda: len(_ended(worker)), 4, within=15)
    assert worker.is_running
    assert any(line.get("message") == "sqs polls again" for line in worker.lines())


def test_one_unreadable_message_neither_ends_the_worker_nor_holds_up_its_neighbours(stack: Any) -> None:
    (worker,) = stack.start("worker-default")
    for body in (
        "not json",
        "[]",
        '{"properties": {"delivery_tag": "1"}}',
        '{"body": "x", "headers": {"task": "engine.debug_task"}, "properties": {}}',
    ):
        stack.sqs.send_message(QueueUrl=stack.queue_url("default"), MessageBody=body)
    _send(stack, 5)

    eventually(lambda: len(_ended(worker)), 5, within=15)
    assert worker.is_running


def test_the_message_of_a_killed_worker_runs_on_another(stack: Any) -> None:
    stack.shorten_visibility("default", 3)
    stack.network.become(Network.HEALTHY)
    (first,) = stack.start("worker-default")
    first.kill()
    # Received by nobody's hand: what a worker held when it was killed.
    _send(stack)
    eventually(lambda: stack.sqs.receive_message(QueueUrl=stack.queue_url("default")).get("Messages"))

    (second,) = stack.start("worker-default")

    eventually(lambda: len(_ended(second)), 1, within=20)


@pytest.mark.long
def test_a_run_longer_than_the_visibility_timeout_is_one_run(stack: Any, gateway: Any) -> None:
    stack.network.habits(duplicates=0)  # SQS may deliver twice for reasons of its own; this is about our lease
    stack.shorten_visibility("default", 4)
    stack.start("web")
    workers = stack.start("worker-default") + stack.start("worker-default")
    gateway.fault("confirm", "slow", seconds=9)

    payment = stack.pay()
    stack.await_state([payment], "captured", within=30)

    started = [line for worker in workers for line in worker.lines() if line.get("message") == "task started"]
    assert len([line for line in started if line["task"] == "payments.process_payment"]) == 1
    assert stack.query("SELECT attempts FROM payments_payment WHERE id = %s", payment) == [(1,)]
