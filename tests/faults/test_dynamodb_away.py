"""DynamoDB is away in every way that it can be while jobs run: each result is right afterwards, and nobody waits for it."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.eventually import eventually
from tests.support.faults import Fault, Network

WORKER = """
import os, time
from celery import shared_task
from app.config.celery import celery_app
from app.engine.errors import TransientError

def note(line):
    with open(os.environ["JOURNAL"], "a") as lines:
        lines.write(line + "\\n")

@shared_task(name="engine.double")
def double(number, seconds):
    time.sleep(seconds)
    note(f"double {number}")
    return number * 2

@shared_task(name="engine.waver", bind=True)
def waver(self, number):
    note(f"waver {number}")
    if self.request.retries == 0:
        raise TransientError("not yet")
    return number * 3

@shared_task(name="engine.deny")
def deny(number):
    raise ValueError(f"no {number}")

@shared_task(name="engine.sum")
def sum_(numbers):
    return sum(numbers)

celery_app.worker_main(["worker", "--queues", "default", "--concurrency", "4", "--loglevel", "INFO"])
"""
KINDS = [Fault.ERROR, Fault.THROTTLED, Fault.RESET, Fault.SILENT, Fault.SLOW, Fault.PARTLY, Network.REFUSED]


class Shop:
    """A deployment with one worker."""

    def __init__(self, stack: Any, directory: Path) -> None:
        self.stack, self.journal = stack, directory / "journal"
        self.journal.touch()
        stack.environment["JOURNAL"] = str(self.journal)
        # Which run's result counts is told by the journal: a delivery that SQS doubles would be a second line.
        stack.network.habits(duplicates=0)
        self.worker = stack.start_program("worker-default", WORKER)

    def become(self, kind: Fault | Network) -> None:
        if isinstance(kind, Network):
            # SQS, too: a port refuses everybody.
            self.stack.network.become(kind)
        else:
            self.stack.network.fail("DynamoDB.*", kind, seconds=2)

    def send(self, code: str) -> None:
        done = self.stack.python(f"from celery import chord, current_app, signature\nsend = current_app.send_task\n{code}")
        assert done.returncode == 0, done.stderr[-1000:]

    def ended(self, what: str) -> int:
        return sum(line.startswith(what) for line in self.journal.read_text().splitlines())

    def records(self, ids: list[str]) -> dict[str, tuple[str, Any]]:
        """State and result by id, of those that the ledger has."""
        found: dict[str, tuple[str, Any]] = {}
        for task_id in ids:
            answer = self.stack.dynamodb.get_item(
                TableName=self.stack.table("ledger"), Key={"id": {"S": f"celery-task-meta-{task_id}"}}, ConsistentRead=True
            )
            if (item := answer.get("Item")) is not None:
                result = json.loads(item["result"]["S"])["result"] if "result" in item else None
                found[task_id] = item["state"]["S"], result
        return found


@pytest.fixture(scope="module")
def shop(_make_stack: Callable[[Path], Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    directory = tmp_path_factory.mktemp("dynamodb-away")
    stack = _make_stack(directory)
    yield Shop(stack, directory)
    stack.stop()


def outlive(shop: Shop, kind: Fault | Network, name: str, *, seconds: float, jobs: int) -> None:
    """Jobs, retries, failures and parts of a chord are under way when the outage begins; more are sent while it lasts."""
    pause = seconds * 4 / jobs
    half = jobs // 2
    before = shop.ended("double")
    shop.send(
        f"parts = [signature('engine.double', args=[number, {pause}], task_id=f'{name}-part-{{number}}') for number in range(3)]\n"
        f"chord(parts)(signature('engine.sum', task_id='{name}-sum'))\n"
        f"for number in range({half}): send('engine.double', [number, {pause}], task_id=f'{name}-{{number}}')\n"
        f"for number in range(5): send('engine.waver', [number], task_id=f'{name}-waver-{{number}}')\n"
        f"for number in range(5): send('engine.deny', [number], task_id=f'{name}-deny-{{number}}')\n"
    )
    eventually(lambda: shop.ended("double") >= before + 2, bool, within=60)
    shop.become(kind)
    began, during = time.monotonic(), shop.ended("double")
    if isinstance(kind, Fault):
        shop.send(f"for number in range({half}, {jobs}): send('engine.double', [number, {pause}], task_id=f'{name}-{{number}}')")
        # Work goes on without it, but for the slots of the chord's parts, which wait to be counted.
        eventually(lambda: shop.ended("double") > during, bool, within=max(seconds, 30))
    eventually(lambda: time.monotonic() - began >= seconds, bool, within=seconds + 5)
    shop.stack.network.heal()
    if not isinstance(kind, Fault):
        shop.send(f"for number in range({half}, {jobs}): send('engine.double', [number, {pause}], task_id=f'{name}-{{number}}')")

    wanted: dict[str, tuple[str, Any]] = {f"{name}-{number}": ("SUCCESS", number * 2) for number in range(jobs)}
    wanted |= {f"{name}-part-{number}": ("SUCCESS", number * 2) for number in range(3)}
    wanted |= {f"{name}-waver-{number}": ("SUCCESS", number * 3) for number in range(5)}
    wanted[f"{name}-sum"] = ("SUCCESS", 6)
    denied = [f"{name}-deny-{number}" for number in range(5)]
    eventually(lambda: {key: value for key, value in wanted.items() if shop.records([key]).get(key) != value}, {}, within=300)
    eventually(lambda: {state for state, _ in shop.records(denied).values()}, {"FAILURE"}, within=30)
    eventually(lambda: sum(shop.stack.depth("default")), 0, within=60)
    assert shop.worker.is_running
    # Nothing finished turned into a failure, nothing else became a dead letter.
    failed = {
        line["task_id"] for line in shop.worker.lines() if line.get("message") == "dead letter" and line["task_id"].startswith(f"{name}-")
    }
    assert failed == set(denied)


def test_results_are_right_after_an_outage_in_which_work_went_on(shop: Shop) -> None:
    outlive(shop, Fault.ERROR, "short", seconds=4, jobs=20)


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_results_are_right_after_half_a_minute_of_any_outage(shop: Shop, kind: Fault | Network) -> None:
    outlive(shop, kind, kind.name.lower(), seconds=30, jobs=100)
