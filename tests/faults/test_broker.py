"""What the transport promises, with real workers of a plain Celery program against SQS at its least kind."""

import contextlib
import itertools
import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from tests.support.broker import MAX_RECEIVES, Broker, Worker
from tests.support.environment import REGION
from tests.support.eventually import eventually
from tests.support.faults import Fault
from tests.support.hostile import HOSTILE, encoded, mutations, valid_message

OUTAGES = [
    (Fault.UNAVAILABLE, 1.0),
    (Fault.ERROR, 1.0),
    (Fault.ERROR, 0.3),
    (Fault.THROTTLED, 1.0),
    (Fault.DENIED, 1.0),
    (Fault.REFUSED, 1.0),
    (Fault.RESET, 1.0),
    (Fault.SILENT, 1.0),
    (Fault.GARBAGE, 1.0),
    (Fault.SLOW, 1.0),
]


def outlive(broker: Broker, worker: Worker, fault: Fault, probability: float, seconds: float, first: int, jobs: int = 20) -> None:
    """An outage while jobs wait: the worker lives, goes on within ten seconds of its end, and runs each job."""
    broker.send(f"for job in range({first}, {first + jobs}): note.delay(job)")
    broker.network.fail(None, fault, probability=probability, seconds=3.0)
    end = time.monotonic() + seconds
    eventually(lambda: time.monotonic() >= end, bool, within=seconds + 5)
    before = len(broker.notes("note"))
    broker.network.heal()
    broker.send(f"note.delay({first + jobs})")
    eventually(lambda: len(broker.notes("note")), lambda found: found > before, within=10)
    wanted = set(range(first, first + jobs + 1))
    eventually(lambda: wanted <= set(broker.runs("note")), bool, within=20)
    assert worker.is_running()


def test_an_outage_ends_no_worker_deafens_none_and_loses_nothing(make_broker: Callable[..., Broker]) -> None:
    broker = make_broker()
    worker = broker.start("-c", "2")

    for number, (fault, probability) in enumerate(
        [(Fault.UNAVAILABLE, 1.0), (Fault.REFUSED, 1.0), (Fault.SILENT, 1.0), (Fault.DENIED, 1.0)]
    ):
        outlive(broker, worker, fault, probability, seconds=3, first=1000 * number)


@pytest.mark.long
@pytest.mark.parametrize("round_", [1, 2, 3])
@pytest.mark.parametrize(("fault", "probability"), OUTAGES, ids=lambda value: getattr(value, "name", str(value)))
def test_twenty_seconds_of_any_outage(make_broker: Callable[..., Broker], fault: Fault, probability: float, round_: int) -> None:
    broker = make_broker()

    outlive(broker, broker.start("-c", "2"), fault, probability, seconds=20, first=round_ * 1000)


def rss_mib(worker: Worker) -> float:
    status = Path(f"/proc/{worker.process.pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) / 1024


def survive(broker: Broker, bodies: list[str]) -> None:
    worker = broker.start("-c", "2")
    before = rss_mib(worker)
    strict = boto3.client("sqs", region_name=REGION, endpoint_url=broker.network.url, aws_access_key_id="x", aws_secret_access_key="y")
    for number, body in enumerate(bodies):
        # What SQS itself would not take never reaches a worker.
        with contextlib.suppress(ClientError):
            strict.send_message(QueueUrl=broker.url, MessageBody=body)
        if number % 10 == 0:
            good = encoded(valid_message(task="tests.support.broker_program.note", args=[number]))
            strict.send_message(QueueUrl=broker.url, MessageBody=good)
    eventually(lambda: sum(broker.depth()), lambda left: left == 0, within=60 + len(bodies) / 10)
    assert worker.is_running()
    assert rss_mib(worker) - before < 64
    letters = broker.dead_letters()
    assert all("reason" in letter["MessageAttributes"] for letter in letters)
    assert {letter["Body"] for letter in letters} <= set(bodies)
    last = [at for _, at in broker.notes("note")]
    assert max(later - earlier for earlier, later in itertools.pairwise(sorted(last))) < 5


def test_no_hostile_message_ends_a_worker_or_holds_up_good_ones(make_broker: Callable[..., Broker]) -> None:
    broker = make_broker(visibility=30, options={"unknown_task_seconds": 0})

    survive(broker, [shape.body for shape in HOSTILE if shape.outcome != "accepted"])


@pytest.mark.long
def test_ten_thousand_mutations_end_no_worker(make_broker: Callable[..., Broker]) -> None:
    broker = make_broker(visibility=60, options={"unknown_task_seconds": 0})

    survive(broker, list(mutations(20261124, 10_000)))


def test_a_job_longer_than_its_visibility_runs_once(make_broker: Callable[..., Broker]) -> None:
    broker = make_broker(visibility=5)
    broker.start("-c", "2")
    broker.start("-c", "2")
    broker.send("for job in range(4): take.delay(job, 8)")

    eventually(lambda: broker.runs("end"), lambda ended: len(ended) == 4, within=25)
    assert set(broker.runs("start").values()) == {1}


def test_a_countdown_longer_than_the_visibility_starts_each_job_once_on_time_and_never_early(make_broker: Callable[..., Broker]) -> None:
    broker = make_broker(visibility=5)
    broker.start("-c", "2")
    sent_at = time.time()
    broker.send("for job in range(20): note.apply_async((job,), countdown=7)")
    sent_by = time.time()

    eventually(lambda: broker.runs("note"), lambda runs: len(runs) == 20, within=20)
    assert set(broker.runs("note").values()) == {1}
    assert all(sent_at + 7 <= at <= sent_by + 7 + 2 for _, at in broker.notes("note"))


def test_a_delay_in_several_hops_outlives_the_worker_and_starts_once(make_broker: Callable[..., Broker]) -> None:
    broker = make_broker(visibility=5, options={"longest_delay_seconds": 2})
    worker = broker.start("-c", "1")
    due = time.time() + 7
    broker.send("note.apply_async((1,), countdown=7)")
    eventually(lambda: time.time() > due - 4, bool, within=10)
    os.killpg(worker.process.pid, signal.SIGKILL)
    broker.start("-c", "1")

    ((_, at),) = eventually(lambda: broker.notes("note"), bool, within=20)
    assert at >= due
    assert broker.runs("note") == {1: 1}


def test_what_a_stopping_worker_has_not_started_is_running_elsewhere_within_seconds(make_broker: Callable[..., Broker]) -> None:
    broker = make_broker(visibility=60)
    broker.send("for job in range(8): take.delay(job, 8)")
    first = broker.start("-c", "2", "--prefetch-multiplier", "4")
    eventually(lambda: len(broker.runs("start")), lambda started: started == 2, within=10)
    broker.start("-c", "8")
    first.process.send_signal(signal.SIGTERM)

    eventually(lambda: len(broker.runs("start")), lambda started: started == 8, within=10)
    assert first.process.wait(30) == 0
    eventually(lambda: len(broker.runs("end")), lambda ended: ended == 8, within=20)
    assert set(broker.runs("start").values()) == {1}


def test_what_fails_for_good_is_a_dead_letter_with_its_cause_after_exactly_its_runs(make_broker: Callable[..., Broker]) -> None:
    broker = make_broker()
    broker.start("-c", "2")
    broker.send("for job in range(20): fail.delay(job)")

    letters: list[dict[str, Any]] = []

    def found() -> int:
        letters.extend(broker.dead_letters())
        return len(letters)

    eventually(found, lambda number: number == 20, within=30)
    assert set(broker.runs("fail").values()) == {3}
    causes = [json.loads(letter["MessageAttributes"]["cause"]["StringValue"]) for letter in letters]
    assert {(cause["reason"], cause["exception"], cause["attempts"]) for cause in causes} == {("failed", "ValueError", 3)}
    assert len({cause["fingerprint"] for cause in causes}) == 1
    assert "cannot be done" in causes[0]["message"]


def test_a_job_that_kills_its_process_ends_in_the_dead_letters_and_the_worker_goes_on(make_broker: Callable[..., Broker]) -> None:
    broker = make_broker()
    worker = broker.start("-c", "2")
    broker.send("die.delay(1)")

    eventually(lambda: len(broker.dead_letters()), lambda found: found == 1, within=40)
    assert broker.runs("die") == {1: MAX_RECEIVES}
    broker.send("note.delay(1)")
    eventually(lambda: broker.runs("note"), lambda runs: runs == {1: 1}, within=10)
    assert worker.is_running()


@pytest.mark.parametrize("pool", ["threads", "solo"])
def test_other_pools_run_and_stop_as_well(make_broker: Callable[..., Broker], pool: str) -> None:
    broker = make_broker()
    worker = broker.start("-P", pool, "-c", "4")
    broker.send("from celery import group\ngroup(note.si(job) for job in range(30)).apply_async()")

    eventually(lambda: broker.runs("note"), lambda runs: len(runs) == 30, within=20)
    assert set(broker.runs("note").values()) == {1}
    assert worker.stop() == 0
