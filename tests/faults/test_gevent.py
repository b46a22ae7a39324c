"""The transport under gevent: a worker's jobs, its long polls and its settling are greenlets, and none holds up another."""

import itertools
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.broker import PROGRAM, QUEUE, Broker, Worker
from tests.support.environment import REPOSITORY
from tests.support.eventually import eventually
from tests.support.faults import Fault
from tests.support.hostile import encoded, valid_message

#: Fifty greenlets send a job each, while another looks at the clock. Prints how long it took, and the longest pause of the clock.
SENDERS = """
from gevent import monkey; monkey.patch_all()
import time, gevent
from tests.support.broker_program import *

def send(job):
    try:
        note.delay(job)
    except Exception as error:
        return type(error).__name__

looks = []
def look():
    while True:
        looks.append(time.monotonic())
        gevent.sleep(0.01)

note.delay(-1)  # makes the client, which takes a moment of CPU
gevent.spawn(look)
started = time.monotonic()
senders = [gevent.spawn(send, job) for job in range(50)]
gevent.joinall(senders)
took = time.monotonic() - started
print(took, max(later - earlier for earlier, later in zip(looks, looks[1:])), *{sender.value for sender in senders})
"""


def start(broker: Broker, concurrency: int, *arguments: str, **options: Any) -> Worker:
    # An idle queue is polled for as long as SQS allows: what a poll holds up, it holds up for that long.
    return broker.start("-P", "gevent", "-c", str(concurrency), *arguments, **{"wait_time_seconds": 20} | options)


def length(broker: Broker, job: int = 0) -> float:
    """How long a run took, in seconds."""
    started: float = dict(broker.notes("start"))[job]
    ended: float = dict(broker.notes("end"))[job]
    return ended - started


@pytest.mark.parametrize("concurrency", [pytest.param(20, marks=pytest.mark.long), 100])
def test_jobs_that_wait_run_side_by_side(make_broker: Callable[..., Broker], concurrency: int) -> None:
    broker = make_broker(visibility=30)
    start(broker, concurrency)
    broker.send("from celery import group\ngroup(take.si(job, 1) for job in range(200)).apply_async()")

    eventually(lambda: broker.runs("end").total(), lambda ended: ended >= 200, within=40)

    changes = sorted([(at, 1) for _, at in broker.notes("start")] + [(at, -1) for _, at in broker.notes("end")])
    assert 0.7 * concurrency <= max(itertools.accumulate(change for _, change in changes)) <= concurrency
    assert set(broker.runs("start").values()) == {1}


def test_idle_polls_hold_up_neither_a_new_job_nor_a_running_one(make_broker: Callable[..., Broker]) -> None:
    broker = make_broker(visibility=30)
    # More than gevent's own pool has threads.
    urls = {f"{QUEUE}-{number}": broker.sqs.create_queue(QueueName=f"{broker.name}-{number}")["QueueUrl"] for number in range(14)}
    queues = {name: {"url": url.replace(broker.direct, broker.network.url)} for name, url in {QUEUE: broker.url, **urls}.items()}
    start(broker, 20, "-Q", ",".join(queues), predefined_queues=queues)
    eventually(broker.network.open_requests, len(queues), within=10)

    sent_at = time.time()
    broker.sqs.send_message(QueueUrl=broker.url, MessageBody=encoded(valid_message(task=f"{PROGRAM}.take", args=[0, 2])))
    eventually(lambda: broker.runs("end"), {0: 1}, within=10)

    assert dict(broker.notes("start"))[0] - sent_at < 2
    assert length(broker) < 4
    eventually(broker.depth, (0, 0))


@pytest.mark.long
def test_a_job_longer_than_its_visibility_runs_once(make_broker: Callable[..., Broker]) -> None:
    broker = make_broker(visibility=3)
    start(broker, 20)
    start(broker, 20)
    broker.send("for job in range(10): take.delay(job, 6)")

    eventually(lambda: broker.runs("end"), lambda ended: len(ended) == 10, within=15)
    assert set(broker.runs("start").values()) == {1}


@pytest.mark.long
def test_retries_countdowns_and_time_limits_are_kept(make_broker: Callable[..., Broker]) -> None:
    broker = make_broker()
    start(broker, 20)
    due = time.time() + 2
    broker.send("fail.delay(1)\nnote.apply_async((1,), countdown=2)\ntake.apply_async((1, 60), time_limit=1)")

    causes: list[str] = []

    def found() -> int:
        causes.extend(json.loads(letter["MessageAttributes"]["cause"]["StringValue"])["exception"] for letter in broker.dead_letters())
        return len(causes)

    eventually(found, 2, within=15)
    assert {cause.rpartition(".")[2] for cause in causes} == {"TimeLimitExceeded", "ValueError"}
    assert broker.runs("fail") == {1: 3}
    ((_, at),) = eventually(lambda: broker.notes("note"), bool, within=10)
    assert due <= at < due + 3


def test_a_stopping_worker_gives_back_what_it_has_not_started_and_ends_well(make_broker: Callable[..., Broker]) -> None:
    broker = make_broker(visibility=60)
    broker.send("for job in range(12): take.delay(job, 2)")
    worker = start(broker, 4, wait_time_seconds=1)
    eventually(lambda: len(broker.runs("start")), 4, within=10)

    worker.process.send_signal(signal.SIGTERM)

    eventually(broker.depth, (8, 4))
    assert worker.process.wait(10) == 0
    assert broker.depth() == (8, 0)
    assert broker.runs("start") == broker.runs("end")


@pytest.mark.long
def test_a_worker_that_ends_at_once_gives_back_what_it_runs(make_broker: Callable[..., Broker]) -> None:
    broker = make_broker(visibility=60)
    broker.send("for job in range(12): take.delay(job, 30)")
    worker = start(broker, 4, wait_time_seconds=1)
    eventually(lambda: len(broker.runs("start")), 4, within=10)

    worker.process.send_signal(signal.SIGQUIT)

    assert worker.process.wait(10) == 1
    assert broker.depth() == (12, 0)


@pytest.mark.long
def test_a_silent_sqs_deafens_no_worker_and_stops_no_job(make_broker: Callable[..., Broker]) -> None:
    broker = make_broker(visibility=30)
    worker = start(broker, 20, wait_time_seconds=1)
    broker.send("take.delay(0, 2)")
    eventually(lambda: broker.runs("start"), bool, within=10)
    broker.network.fail(None, Fault.SILENT)

    eventually(lambda: broker.runs("end"), bool, within=10)
    assert length(broker) < 4
    broker.network.heal()
    broker.send("note.delay(1)")

    eventually(lambda: broker.runs("note"), {1: 1}, within=10)
    eventually(broker.depth, (0, 0), within=10)
    assert worker.is_running()


def senders(broker: Broker) -> tuple[float, float, list[str]]:
    """How long fifty took, how long nobody else could do anything, and what they got."""
    done = subprocess.run(
        [sys.executable, "-c", SENDERS], cwd=REPOSITORY, env=broker.environment(), capture_output=True, text=True, check=True, timeout=100
    )
    took, pause, *got = done.stdout.split()
    assert done.stderr == ""
    return float(took), float(pause), got


@pytest.mark.long
def test_greenlets_that_send_do_not_hold_each_other_up(make_broker: Callable[..., Broker]) -> None:
    broker = make_broker()
    broker.network.fail("SendMessage", Fault.SLOW, seconds=1)

    took, pause, got = senders(broker)

    assert got == ["None"]
    assert took < 20
    assert pause < 0.9
    assert broker.depth() == (51, 0)
