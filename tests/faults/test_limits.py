"""Limits and unique jobs with several real workers that are killed."""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.eventually import eventually

MOST = 3
LEASE_SECONDS = 3
WORKER = """
import json, os, time
from datetime import timedelta
from app.config.environment import use_settings
use_settings()
import django
django.setup()
from celery import shared_task
from app.config.celery import celery_app
from app.engine.limits import limiter, renewal
from app.engine.limits.limiter import AtOnce, limited

renewal.LEASE = timedelta(seconds=3)
limiter.SPREAD_SECONDS = 3

def note(**what):
    with open(os.environ["JOURNAL"], "a") as lines:
        lines.write(json.dumps(what | {"pid": os.getpid(), "group": os.getpgid(0), "at": time.time()}) + "\\n")

@shared_task(name="engine.limited", bind=True)
def limited_task(self, job, key="acme", pause=0.2, is_gated=False):
    with limited(self.request, AtOnce(key=key, most=3, lease=timedelta(seconds=3))):
        note(began=job, key=key)
        time.sleep(pause)
        while is_gated and not os.path.exists(os.environ["JOURNAL"] + ".open"):
            time.sleep(0.05)
        note(ended=job, key=key)

@shared_task(name="engine.unique", bind=True)
def unique_task(self, job, pause=0.5):
    note(began=job, key="unique")
    time.sleep(pause)
    note(ended=job, key="unique")

if os.environ.get("ROLE") == "worker":
    celery_app.worker_main(["worker", "--queues", "default", "--concurrency", "3", "--loglevel", "INFO", "--hostname", os.environ["NODE"]])
"""
ENQUEUE = """
import sys
from concurrent.futures import ThreadPoolExecutor
from django.db import connections, transaction
from app.engine.limits.unique import UniqueKey, publish_unique

def enqueue(number):
    try:
        with transaction.atomic():
            return publish_unique("engine.unique", UniqueKey(key="rebuild"), job=f"{JOB}-{number}", pause=PAUSE)
    finally:
        connections.close_all()

with ThreadPoolExecutor(8) as pool:
    print(*sorted(set(pool.map(enqueue, range(TIMES)))))
"""


class Shop:
    def __init__(self, stack: Any, directory: Path) -> None:
        self.stack, self.journal = stack, directory / "journal"
        self.journal.touch()
        self.workers: list[Any] = []
        self.killed_at: dict[int, float] = {}
        stack.environment["JOURNAL"] = str(self.journal)
        stack.network.habits(duplicates=0)
        stack.shorten_visibility("default", 4)

    def have_workers(self, number: int) -> None:
        self.stack.environment["ROLE"] = "worker"
        while sum(worker.is_running for worker in self.workers) < number:
            self.stack.environment["NODE"] = f"node{len(self.workers)}@test"
            self.workers.append(self.stack.start_program("worker-default", WORKER))

    def kill_one(self, pid: int | None = None) -> None:
        """A whole worker, the one with that child or any."""
        group = os.getpgid(pid) if pid else next(worker.process.pid for worker in self.workers if worker.is_running)
        os.killpg(group, signal.SIGKILL)
        self.killed_at[group] = time.time()
        next(worker for worker in self.workers if worker.process.pid == group).process.wait(10)

    def send(self, jobs: list[str], **arguments: Any) -> None:
        done = self.stack.python(
            "from celery import current_app\n"
            f"for job in {jobs!r}:\n"
            f"    current_app.send_task('engine.limited', kwargs={arguments!r} | {{'job': job}})\n"
        )
        assert done.returncode == 0, done.stderr

    def enqueue(self, job: str, times: int = 1, pause: float = 0.5) -> list[str]:
        """The ids that so many enqueues at once got."""
        done = self.stack.python(
            f"ROLE = JOB = {job!r}\nTIMES, PAUSE = {times}, {pause}\nimport os\nos.environ['ROLE'] = ''\nexec({WORKER!r})\n{ENQUEUE}"
        )
        assert done.returncode == 0, done.stderr[-2000:]
        return str(done.stdout.splitlines()[-1]).split()

    def notes(self, key: str) -> list[dict[str, Any]]:
        return [line for line in map(json.loads, self.journal.read_text().splitlines()) if line["key"] == key]

    def ended(self, key: str) -> set[str]:
        return {line["ended"] for line in self.notes(key) if "ended" in line}

    def most_at_once(self, key: str) -> int:
        """Of the runs that were alive; one that was killed lived until then."""
        moments: list[tuple[float, int]] = []
        open_runs: dict[tuple[int, str], tuple[float, int]] = {}
        for line in self.notes(key):
            if "began" in line:
                open_runs[line["pid"], line["began"]] = line["at"], line["group"]
            else:
                began, _ = open_runs.pop((line["pid"], line["ended"]))
                moments += [(began, 1), (line["at"], -1)]
        for began, group in open_runs.values():
            moments += [(began, 1), (self.killed_at.get(group, time.time()), -1)]
        alive = most = 0
        for _, change in sorted(moments):
            alive += change
            most = max(most, alive)
        return most

    def empty(self) -> None:
        eventually(lambda: sum(self.stack.depth("default")), 0, within=90)


@pytest.fixture(scope="module")
def shop(_make_stack: Callable[[Path], Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    directory = tmp_path_factory.mktemp("limits")
    stack = _make_stack(directory)
    yield Shop(stack, directory)
    stack.stop()


def overrun(shop: Shop, key: str, number: int, kills: int) -> None:
    jobs = [f"{key}-{each}" for each in range(number)]
    shop.have_workers(2)
    shop.send(jobs, key=key)
    for kill in range(kills):
        eventually(lambda: len(shop.notes(key)), lambda lines, kill=kill: lines > 4 * (kill + 1), within=60)
        shop.kill_one()
        shop.have_workers(2)

    eventually(lambda: shop.ended(key), set(jobs), within=150)
    assert 1 < shop.most_at_once(key) <= MOST
    shop.empty()
    assert shop.stack.query("SELECT count(*) FROM limits_permit WHERE until > now() + interval '1 second'") == [(0,)]


@pytest.mark.long
def test_no_more_runs_of_a_key_are_at_work_than_it_allows_although_a_worker_is_killed(shop: Shop) -> None:
    overrun(shop, "acme", 14, kills=1)


def test_who_waits_for_a_key_holds_up_no_job_of_another(shop: Shop) -> None:
    shop.have_workers(2)
    shop.send([f"long-{number}" for number in range(8)], key="slow", is_gated=True)
    eventually(lambda: len(shop.notes("slow")) >= MOST, within=30)
    shop.send(["quick"], key="quick")

    eventually(lambda: shop.ended("quick"), {"quick"}, within=20)
    assert shop.ended("slow") == set()
    Path(f"{shop.journal}.open").touch()
    eventually(lambda: len(shop.ended("slow")), 8, within=120)
    assert shop.most_at_once("slow") <= MOST
    shop.empty()


def test_a_hundred_enqueues_at_once_are_one_run_and_a_killed_worker_keeps_nobody_out(shop: Shop) -> None:
    shop.have_workers(1)
    (first,) = shop.enqueue("many", times=100)
    eventually(lambda: len(shop.ended("unique")), 1, within=30)
    shop.empty()
    assert len(shop.notes("unique")) == 2

    (second,) = shop.enqueue("killed", pause=30)
    assert second != first
    begun = eventually(lambda: [line for line in shop.notes("unique") if line.get("began") == "killed-0"], within=30)
    assert shop.enqueue("dropped") == [second]
    for worker in [worker for worker in shop.workers if worker.is_running and worker.process.pid != os.getpgid(begun[0]["pid"])]:
        worker.stop()
    shop.kill_one(begun[0]["pid"])
    killed = time.monotonic()

    third = eventually(lambda: shop.enqueue("next"), lambda ids: ids != [second], within=LEASE_SECONDS + 30)

    assert third != [second]
    assert time.monotonic() - killed < LEASE_SECONDS + 25  # each question is a process that has to start
    shop.have_workers(1)
    eventually(lambda: "next-0" in shop.ended("unique"), within=30)


@pytest.mark.long
def test_no_more_runs_of_a_key_are_at_work_than_it_allows_although_workers_are_killed_again_and_again(shop: Shop) -> None:
    overrun(shop, "globex", 40, kills=5)
