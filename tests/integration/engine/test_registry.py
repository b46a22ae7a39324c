"""What the list says of real workers, and how their long runs keep ECS from taking their task away."""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from app.engine.workers.records import record_of
from app.engine.workers.registry import listed
from app.engine.workers.report import document_of
from tests.support.ecs_agent import TASK_ARN, EcsAgent, Mood
from tests.support.eventually import eventually
from tests.support.stack import Service

WORKER = """
from datetime import timedelta
from app.engine.workers import heartbeat
heartbeat.HEARTBEAT = timedelta(seconds={heartbeat_seconds})
from app.config.celery import celery_app
celery_app.worker_main(["worker", "--loglevel", "INFO", "--hostname", {node!r}, "--queues", "default", "--concurrency", "2"])
"""
LOST_WITHIN = 60


@pytest.fixture(scope="module")
def deployment(_make_stack: Callable[[Path], Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    made = _make_stack(tmp_path_factory.mktemp("registry"))
    made.network.habits(duplicates=0, lost_receives=0)
    yield made
    made.stop()


@pytest.fixture
def agent(deployment: Any) -> Iterator[EcsAgent]:
    with EcsAgent().running() as started:
        yield started
    for service in deployment.services:
        service.stop(within=5)


def start(deployment: Any, node: str, agent: EcsAgent, heartbeat_seconds: int = 1, **variables: str) -> Service:
    told = agent.variables | {"PROTECT_RUNS_AFTER_SECONDS": "1"} | variables
    deployment.environment.update(told)
    worker: Service = deployment.start_program("worker-default", WORKER.format(node=node, heartbeat_seconds=heartbeat_seconds))
    eventually(lambda: f"{node} ready." in worker.log.read_text(), within=40)
    return worker


def workers(deployment: Any) -> dict[str, Any]:
    """The documents of the list by host name, read without a process of its own."""
    now = datetime.now(UTC)
    found = listed(map(record_of, deployment.dynamodb.scan(TableName=deployment.table("workers"), ConsistentRead=True)["Items"]), now)
    return {worker.hostname: document_of(worker, now) for worker in (*found.live, *found.lost)}


def measured_by(deployment: Any) -> tuple[float, float]:
    """Runs and busy seconds, as the only worker tells them."""
    (item,) = deployment.dynamodb.scan(TableName=deployment.table("workers"), ConsistentRead=True)["Items"]
    record = record_of(item)
    return record.runs, record.busy_seconds


def send(deployment: Any, *seconds: float) -> list[str]:
    done = deployment.python(
        f"import json\nfrom celery import current_app\nprint(json.dumps([current_app.tasks['engine.debug_task'].delay(seconds=s).id for s in {seconds!r}]))"
    )
    assert done.returncode == 0, done.stderr
    ids: list[str] = json.loads(done.stdout.strip().splitlines()[-1])
    return ids


def ended(worker: Service) -> set[str]:
    return {line["task_id"] for line in worker.lines() if line.get("message") == "task ended"}


def complaints(worker: Service) -> int:
    return sum(line.get("message") == "protection from scale-in not changed" for line in worker.lines())


def test_a_worker_tells_what_it_is_and_runs_and_is_protected_exactly_while_a_run_is_long(deployment: Any, agent: EcsAgent) -> None:
    worker = start(deployment, "one@h", agent, RELEASE="v7")
    before = time.time()
    jobs = send(deployment, 20, 20, 0, 0)  # long enough for three looks, on a busy machine
    eventually(lambda: agent.is_protected, within=20)

    told = eventually(lambda: workers(deployment)["one@h"], lambda found: found["protected"] and found["busy"] == 2, within=20)
    assert (told["state"], told["service"], told["release"], told["ecs_task"]) == ("live", "worker-default", "v7", TASK_ARN)
    assert (told["queues"], told["slots"], told["paused"]) == (["default"], 2, [])
    assert {job["id"] for job in told["running"]} == set(jobs[:2])
    assert all(before - 1 < job["started_at"].timestamp() < time.time() for job in told["running"])
    assert told["memory_bytes"] > 20 * 1024**2
    assert 0 < agent.expires_at - time.time() <= 600

    shown = deployment.manage("workers").stdout
    assert "one@h" in shown
    assert "protected" in shown
    assert f"engine.debug_task {jobs[0]} for " in shown

    eventually(lambda: ended(worker), set(jobs), within=60)
    eventually(lambda: agent.is_protected, False, within=15)
    # Four runs began, and two slots were busy for twenty seconds; what is minutes old counts less.
    measured = eventually(lambda: measured_by(deployment), lambda found: found[0] > 3, within=10)
    assert measured[0] <= 4
    assert 30 < measured[1] < 45
    assert agent.asked == [True, False]

    # As long as its runs do: a worker that drains finishes them, under protection, and asks for no more.
    (last,) = send(deployment, 15)
    eventually(lambda: agent.is_protected, within=20)
    done = deployment.python(
        "from celery import current_app\ncurrent_app.control.pool_grow(2)\ncurrent_app.control.drain(['one@h'], reply=True)"
    )
    assert done.returncode == 0, done.stderr
    eventually(lambda: _facts(workers(deployment)["one@h"]), ("draining", 4, True), within=20)

    worker.process.terminate()
    eventually(lambda: _facts(workers(deployment)["one@h"]), ("stopping", 4, True), within=20)
    worker.process.wait(40)
    assert last in ended(worker)
    assert agent.asked == [True, False, True, False]
    assert "one@h" not in workers(deployment)


def _facts(worker: Any) -> tuple[Any, ...]:
    return worker["state"], worker["slots"], worker["protected"]


@pytest.mark.long
def test_an_agent_that_hangs_holds_up_neither_jobs_nor_heartbeats_nor_the_end(deployment: Any, agent: EcsAgent) -> None:
    agent.become(Mood.HANGS)
    worker = start(deployment, "two@h", agent)
    (long,) = send(deployment, 15)
    eventually(lambda: agent.asked, [True], within=20)

    short = send(deployment, *[0] * 10)
    eventually(lambda: ended(worker), set(short).issubset, within=15)
    told = workers(deployment)["two@h"]
    assert (told["state"], told["protected"]) == ("live", False)
    assert long not in ended(worker)
    eventually(lambda: long in ended(worker), within=30)

    assert worker.stop() == 0
    assert complaints(worker) == 1


@pytest.mark.long
@pytest.mark.parametrize("mood", [Mood.FAILS, Mood.DENIES, Mood.REFUSES])
def test_an_agent_that_says_no_costs_one_line_and_is_asked_again(deployment: Any, agent: EcsAgent, mood: Mood) -> None:
    agent.become(mood)
    worker = start(deployment, "three@h", agent)
    jobs = send(deployment, 15, 0)
    eventually(lambda: len(agent.asked) > 2, within=30)
    assert not agent.is_protected

    agent.become(Mood.WELL)
    eventually(lambda: agent.is_protected, within=30)
    eventually(lambda: ended(worker), set(jobs), within=40)
    eventually(lambda: agent.is_protected, False, within=30)

    assert worker.stop() == 0
    assert complaints(worker) == 1


@pytest.mark.long
def test_a_worker_without_an_agent_where_there_should_be_one_works(deployment: Any, agent: EcsAgent) -> None:
    worker = start(
        deployment, "four@h", agent, ECS_AGENT_URI="http://127.0.0.1:9/api/4a6b", ECS_CONTAINER_METADATA_URI_V4="http://127.0.0.1:9/v4"
    )
    jobs = send(deployment, 5, 0)

    eventually(lambda: ended(worker), set(jobs), within=40)
    assert workers(deployment)["four@h"]["ecs_task"] is None
    assert worker.stop() == 0
    assert complaints(worker) == 1


@pytest.mark.long
def test_killed_and_frozen_workers_are_lost_within_a_minute_with_what_they_ran(deployment: Any, agent: EcsAgent) -> None:
    killed, frozen = start(deployment, "five@h", agent, 5), start(deployment, "six@h", agent, 5)
    jobs = send(deployment, 120, 120, 120, 120)
    eventually(lambda: sum(worker["busy"] for worker in workers(deployment).values()), 4, within=30)
    asked = len(agent.asked)
    at = time.monotonic()
    os.killpg(frozen.process.pid, signal.SIGSTOP)
    killed.kill()

    lost = eventually(
        lambda: {name: worker for name, worker in workers(deployment).items() if worker["state"] == "lost"},
        lambda found: set(found) == {"five@h", "six@h"},
        within=LOST_WITHIN,
    )
    assert time.monotonic() - at <= LOST_WITHIN
    assert {job["id"] for worker in lost.values() for job in worker["running"]} == set(jobs)
    assert len(agent.asked) == asked

    os.killpg(frozen.process.pid, signal.SIGCONT)
    eventually(lambda: workers(deployment)["six@h"]["state"], "live", within=30)
    frozen.kill()
