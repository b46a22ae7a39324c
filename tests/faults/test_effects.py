"""Effects in PostgreSQL that are had once: with real workers that are frozen and killed, and messages that come twice."""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.eventually import eventually

VISIBILITY_SECONDS = 4
#: The table has no key of its own: what is there twice was done twice.
WORKER = """
import json, os, time
from functools import partial
from app.config.environment import use_settings
use_settings()
import django
django.setup()
from celery import shared_task
from django.db import connection, transaction
from app.config.celery import celery_app
from app.engine.effects.guard import once
from app.engine.job_ledger import fence_of

def note(**what):
    with open(os.environ["JOURNAL"], "a") as lines:
        lines.write(json.dumps(what | {"pid": os.getpid()}) + "\\n")

def insert(job, name, pause=0):
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO entries (job, name, pid) VALUES (%s, %s, %s)", [job, name, os.getpid()])
    note(inserted=job)
    time.sleep(pause)

@shared_task(name="engine.unclaimed", bind=True, claimed=False)
def unclaimed(self, job):
    with transaction.atomic():
        once(self.request, "book", partial(insert, job, "book"))

@shared_task(name="engine.guarded", bind=True)
def guarded(self, job, first_pause=0, is_frozen=False):
    note(began=job, fence=fence_of(self.request))
    while is_frozen and fence_of(self.request) == 1 and not os.path.exists(os.environ["JOURNAL"] + job):
        time.sleep(0.01)
    for name in ("book", "thank"):
        once(self.request, name, partial(insert, job, name, first_pause if fence_of(self.request) == 1 else 0))
    note(ended=job)

celery_app.worker_main(["worker", "--queues", "default", "--concurrency", "4", "--loglevel", "INFO", "--hostname", os.environ["NODE"]])
"""


class Shop:
    def __init__(self, stack: Any, directory: Path) -> None:
        self.stack, self.journal = stack, directory / "journal"
        self.journal.touch()
        self.workers: list[Any] = []
        stack.environment["JOURNAL"] = str(self.journal)
        stack.query("CREATE TABLE entries (job text NOT NULL, name text NOT NULL, pid integer NOT NULL)")
        stack.shorten_visibility("default", VISIBILITY_SECONDS)

    def have_workers(self, number: int) -> None:
        while sum(worker.is_running for worker in self.workers) < number:
            self.stack.environment["NODE"] = f"node{len(self.workers)}@test"
            self.workers.append(self.stack.start_program("worker-default", WORKER))

    def send(self, task: str, jobs: list[str], messages: int = 1, **arguments: Any) -> None:
        done = self.stack.python(
            "from celery import current_app\n"
            f"for job in {jobs!r}:\n"
            f"    for _ in range({messages}):\n"
            f"        current_app.send_task({task!r}, kwargs={arguments!r} | {{'job': job}}, task_id=job)\n"
        )
        assert done.returncode == 0, done.stderr

    def notes(self, what: str, job: str) -> list[dict[str, Any]]:
        return [line for line in map(json.loads, self.journal.read_text().splitlines()) if line.get(what) == job]

    def entries(self, jobs: list[str]) -> list[tuple[str, str, int]]:
        return self.stack.query("SELECT job, name, pid FROM entries WHERE job = ANY(%s) ORDER BY 1, 2", jobs)  # type: ignore[no-any-return]

    def signal_worker_of(self, pid: int, number: signal.Signals) -> Any:
        """To the whole worker whose child has that pid: the main process and every child."""
        group = os.getpgid(pid)
        os.killpg(group, number)
        return next(worker for worker in self.workers if worker.process.pid == group)

    def empty(self) -> None:
        eventually(lambda: sum(self.stack.depth("default")), 0, within=60)


@pytest.fixture(scope="module")
def shop(_make_stack: Callable[[Path], Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    directory = tmp_path_factory.mktemp("effects")
    stack = _make_stack(directory)
    yield Shop(stack, directory)
    stack.stop()


def once_each(shop: Shop, jobs: list[str]) -> None:
    shop.stack.network.habits(duplicates=0.2)
    shop.have_workers(1)
    shop.send("engine.unclaimed", jobs, messages=2)

    eventually(lambda: len(shop.entries(jobs)) >= len(jobs), bool, within=300)
    shop.empty()
    assert [job for job, _, _ in shop.entries(jobs)] == sorted(jobs)


def test_jobs_that_are_not_claimed_and_come_twice_have_one_effect_each(shop: Shop) -> None:
    once_each(shop, [f"twice-{number:02}" for number in range(40)])


@pytest.mark.long
def test_a_thousand_jobs_that_are_not_claimed_and_come_twice_have_one_effect_each(shop: Shop) -> None:
    once_each(shop, [f"often-{number:04}" for number in range(1000)])


def test_a_worker_that_is_killed_in_the_middle_of_its_transaction_leaves_nothing_and_the_next_run_has_the_effect(shop: Shop) -> None:
    shop.stack.network.habits(duplicates=0)
    shop.have_workers(1)
    shop.send("engine.guarded", ["killed"], first_pause=60)
    (inserted,) = eventually(lambda: shop.notes("inserted", "killed"), within=30)

    worker = shop.signal_worker_of(inserted["pid"], signal.SIGKILL)
    worker.process.wait(10)
    shop.have_workers(1)

    eventually(lambda: shop.notes("ended", "killed"), within=60)
    assert [line["fence"] for line in shop.notes("began", "killed")] == [1, 2]
    assert [name for _, name, _ in shop.entries(["killed"])] == ["book", "thank"]
    shop.empty()


def freeze(shop: Shop, job: str) -> None:
    """A run is frozen before its effects, for longer than its lease; the run that took over had them meanwhile."""
    shop.stack.network.habits(duplicates=0)
    shop.have_workers(2)
    shop.send("engine.guarded", [job], is_frozen=True)
    (first,) = eventually(lambda: shop.notes("began", job), within=30)
    began = time.monotonic()
    frozen = shop.signal_worker_of(first["pid"], signal.SIGSTOP)
    # It goes on to its effects when it is woken, and not before.
    Path(f"{shop.journal}{job}").touch()
    try:
        eventually(lambda: shop.notes("ended", job), within=60)
        (_, second) = shop.notes("began", job)
        eventually(lambda: time.monotonic() - began > VISIBILITY_SECONDS + 3, bool, within=30)
    finally:
        os.killpg(frozen.process.pid, signal.SIGCONT)

    eventually(
        lambda: [line for line in frozen.lines() if line.get("message") == "stale run refused" and line["task_id"] == job], within=30
    )
    shop.empty()
    assert second["fence"] == 2
    assert [(name, pid) for _, name, pid in shop.entries([job])] == [("book", second["pid"]), ("thank", second["pid"])]
    assert len(shop.notes("ended", job)) == 1
    # Told, and not a failure.
    assert [line for line in frozen.lines() if line.get("message") == "task failed"] == []
    item = shop.stack.dynamodb.get_item(TableName=shop.stack.table("ledger"), Key={"id": {"S": f"celery-task-meta-{job}"}})["Item"]
    assert (item["state"]["S"], item["fence"]["N"]) == ("SUCCESS", "2")


def test_the_effects_of_a_worker_that_was_frozen_for_longer_than_its_lease_are_refused(shop: Shop) -> None:
    freeze(shop, "frozen")


@pytest.mark.long
@pytest.mark.parametrize("round_", range(10))
def test_the_effects_of_a_frozen_worker_are_refused_each_time(shop: Shop, round_: int) -> None:
    freeze(shop, f"frozen-{round_}")
