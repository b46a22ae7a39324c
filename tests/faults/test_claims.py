"""A job is run once, whatever SQS, a producer or a worker does twice: with real workers on the ledger."""

import json
import signal
from collections import Counter
from typing import Any

import pytest

from tests.support.eventually import eventually

#: Every run appends a line before and after its work; the ledger knows nothing of it.
WORKER = """
import json, os, time
from celery import shared_task
from app.config.celery import celery_app
from app.engine.broker.lost_leases import has_lost_lease
from app.engine.job_ledger import fence_of

def note(**what):
    with open(os.environ["JOURNAL"], "a") as lines:
        lines.write(json.dumps(what | {"pid": os.getpid()}) + "\\n")

@shared_task(name="engine.note", bind=True)
def note_(self, job, seconds=0.0):
    note(began=job, fence=fence_of(self.request))
    time.sleep(seconds)
    note(ended=job, lost=has_lost_lease(self.request))
    return job

@shared_task(name="engine.quiet", ignore_result=True)
def quiet(job):
    note(began=job)

@shared_task(name="engine.part")
def part(chord, number):
    time.sleep(0.02)
    note(part=f"{chord}/{number}")
    return number

@shared_task(name="engine.body")
def body(numbers, chord):
    note(began=chord)
    note(body=chord, sum=sum(numbers))

celery_app.worker_main(["worker", "--queues", "default", "--concurrency", "4", "--loglevel", "INFO", "--hostname", os.environ["NODE"]])
"""


@pytest.fixture
def journal(stack: Any, tmp_path: Any) -> Any:
    path = tmp_path / "journal"
    path.touch()
    stack.environment["JOURNAL"] = str(path)

    def read(what: str) -> list[dict[str, Any]]:
        return [line for line in map(json.loads, path.read_text().splitlines()) if what in line]

    return read


def start_worker(stack: Any, number: int) -> Any:
    stack.environment["NODE"] = f"node{number}@test"
    return stack.start_program("worker-default", WORKER)


def runs(journal: Any) -> Counter[Any]:
    return Counter(line["began"] for line in journal("began"))


def send_twice(stack: Any, task: str, count: int) -> None:
    """Two messages for each job, as from a producer that did not hear SQS's answer."""
    done = stack.python(
        "from celery import current_app\n"
        f"for job in range({count}):\n"
        "    for _ in range(2):\n"
        f"        current_app.send_task({task!r}, kwargs={{'job': job}}, task_id=f'job-{{job}}')\n"
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("task", ["engine.note", "engine.quiet"])
def test_a_job_whose_message_was_sent_twice_and_delivered_twice_runs_once(stack: Any, journal: Any, task: str) -> None:
    stack.network.habits(duplicates=0.2)
    # A copy that comes while the job is claimed waits for as long as the claim.
    stack.shorten_visibility("default", 20)
    send_twice(stack, task, 40)
    for number in range(2):
        start_worker(stack, number)

    eventually(lambda: len(runs(journal)), 40, within=60)
    eventually(lambda: sum(stack.depth("default")), 0, within=150)
    assert set(runs(journal).values()) == {1}


@pytest.mark.long
def test_of_a_thousand_jobs_with_two_messages_each_runs_once(stack: Any, journal: Any) -> None:
    stack.network.habits(duplicates=0.05)
    for number in range(2):
        start_worker(stack, number)
    send_twice(stack, "engine.note", 1000)

    eventually(lambda: len(runs(journal)), 1000, within=600)
    eventually(lambda: sum(stack.depth("default")), 0, within=600)
    assert set(runs(journal).values()) == {1}


def test_a_killed_worker_s_job_is_taken_over_with_a_higher_fence(stack: Any, journal: Any) -> None:
    stack.network.habits(duplicates=0)
    stack.shorten_visibility("default", 4)
    first = start_worker(stack, 1)
    done = stack.python(
        "from celery import current_app\ncurrent_app.send_task('engine.note', kwargs={'job': 1, 'seconds': 3}, task_id='one')"
    )
    assert done.returncode == 0, done.stderr
    eventually(lambda: journal("began"), within=15)
    first.kill()
    start_worker(stack, 2)

    eventually(lambda: journal("ended"), within=30)
    assert [line["fence"] for line in journal("began")] == [1, 2]
    item = eventually(
        lambda: stack.dynamodb.get_item(TableName=stack.table("ledger"), Key={"id": {"S": "celery-task-meta-one"}})["Item"],
        lambda found: found["state"]["S"] == "SUCCESS",
    )
    assert item["worker"]["S"] == "node2@test"


def test_a_worker_that_was_frozen_for_longer_than_its_lease_learns_that_its_run_counts_no_more(stack: Any, journal: Any) -> None:
    stack.network.habits(duplicates=0)
    stack.shorten_visibility("default", 4)
    frozen = start_worker(stack, 1)
    done = stack.python(
        "from celery import current_app\ncurrent_app.send_task('engine.note', kwargs={'job': 1, 'seconds': 6}, task_id='one')"
    )
    assert done.returncode == 0, done.stderr
    (began,) = eventually(lambda: journal("began"), within=15)
    # The main process only: the run goes on, and nobody renews for it.
    frozen.process.send_signal(signal.SIGSTOP)
    start_worker(stack, 2)
    eventually(lambda: len(journal("began")), 2, within=30)
    frozen.process.send_signal(signal.SIGCONT)

    eventually(lambda: len(journal("ended")), 2, within=30)
    item = eventually(
        lambda: stack.dynamodb.get_item(TableName=stack.table("ledger"), Key={"id": {"S": "celery-task-meta-one"}})["Item"],
        lambda found: found["state"]["S"] == "SUCCESS",
        within=15,
    )
    assert (item["worker"]["S"], item["fence"]["N"]) == ("node2@test", "2")
    eventually(lambda: sum(stack.depth("default")), 0, within=30)
    assert began["pid"] != journal("began")[1]["pid"]
    assert frozen.is_running


def test_what_a_stopping_worker_gives_back_need_not_wait_for_its_claim(stack: Any, journal: Any) -> None:
    stack.network.habits(duplicates=0)
    first = start_worker(stack, 1)
    done = stack.python(
        "from celery import current_app\nfor job in range(4): current_app.send_task('engine.note', kwargs={'job': job, 'seconds': 25})"
    )
    assert done.returncode == 0, done.stderr
    eventually(lambda: len(journal("began")), 4, within=20)
    first.process.send_signal(signal.SIGQUIT)
    start_worker(stack, 2)

    # The visibility timeout is a minute.
    eventually(lambda: len(journal("began")), 8, within=25)
    assert {line["fence"] for line in journal("began")[4:]} == {2}


def send_chords(stack: Any, chords: int, parts: int) -> None:
    done = stack.python(
        "from celery import chord, signature\n"
        f"for number in range({chords}):\n"
        f"    header = [signature('engine.part', kwargs={{'chord': number, 'number': part}}) for part in range({parts})]\n"
        "    chord(header)(signature('engine.body', kwargs={'chord': number}))\n"
    )
    assert done.returncode == 0, done.stderr


def bodies(journal: Any) -> dict[Any, int]:
    return {line["body"]: line["sum"] for line in journal("body")}


def outlive_kills(stack: Any, journal: Any, *, chords: int, parts: int, kills: int) -> None:
    """Workers are killed one after the other while chords are worked off and SQS delivers a fifth of all messages twice."""
    stack.network.habits(duplicates=0.2)
    stack.shorten_visibility("default", 5)
    workers = [start_worker(stack, number) for number in range(2)]
    send_chords(stack, chords, parts)
    for kill in range(kills):
        wanted = chords * parts * (kill + 1) // (kills + 2)
        eventually(lambda wanted=wanted: len(journal("part")) >= wanted, bool, within=120)  # type: ignore[misc]
        workers.pop(0).kill()
        workers.append(start_worker(stack, 2 + kill))

    eventually(lambda: len(bodies(journal)), chords, within=180)
    eventually(lambda: sum(stack.depth("default")), 0, within=60)
    assert set(bodies(journal).values()) == {sum(range(parts))}
    # A body that a kill cut short begins again; none is sent twice.
    assert sum(runs(journal).values()) <= chords + kills


def test_chords_outlive_a_killed_worker_and_duplicates(stack: Any, journal: Any) -> None:
    outlive_kills(stack, journal, chords=4, parts=8, kills=1)


@pytest.mark.long
def test_twenty_five_chords_outlive_four_killed_workers_and_duplicates(stack: Any, journal: Any) -> None:
    outlive_kills(stack, journal, chords=25, parts=8, kills=4)
