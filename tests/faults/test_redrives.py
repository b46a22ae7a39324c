"""Dead letters with real processes: indexed by a relay, sent back by several people at once and by some who are killed."""

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app.engine.conf import EngineSettings, engine_settings
from app.engine.dead_letters.clerk import Clerk
from app.engine.dead_letters.desk import Desk
from app.engine.dead_letters.groups import grouped
from app.engine.dead_letters.index import Index
from app.engine.dead_letters.letter import DeadLetter, State
from app.engine.dead_letters.listing import latest, open_letters
from app.engine.dead_letters.order import Action, Order
from app.engine.dead_letters.selection import Selection
from app.engine.failures import fingerprint
from tests.support.environment import REPOSITORY
from tests.support.eventually import eventually
from tests.support.hostile import HOSTILE, encoded, valid_message
from tests.support.journals import whole_lines

WORKER = """
import json, os
from pathlib import Path
from celery import shared_task
from app.config.celery import celery_app

def note(**what):
    with open(os.environ["JOURNAL"], "a") as lines:
        lines.write(json.dumps(what) + "\\n")

@shared_task(name="engine.effect")
def effect(job):
    note(effect=job)

@shared_task(name="engine.never", bind=True, max_retries=1)
def never(self):
    note(never=self.request.retries)
    raise self.retry(exc=ValueError("no such card"), countdown=0)

@shared_task(name="engine.crash")
def crash():
    if not Path(os.environ["JOURNAL"]).with_name("repaired").exists():
        os.kill(os.getpid(), 9)
    note(effect="crash")

celery_app.worker_main(["worker", "--queues", "default,emails", "--concurrency", "2", "--loglevel", "INFO"])
"""


class Shop:
    """A deployment, its dead letters, and what its jobs have done."""

    def __init__(self, stack: Any, directory: Path) -> None:
        self.stack = stack
        self.directory = directory
        self.worker: Any = None
        self.journal = directory / "journal"
        stack.environment["JOURNAL"] = str(self.journal)
        self.settings: EngineSettings = replace(engine_settings(), name_prefix=stack.environment["NAME_PREFIX"], endpoint_url=stack.aws_url)
        self.begin()

    def begin(self) -> None:
        self.journal.write_text("")

    def bury(self, jobs: Iterable[int], queue: str, problem: str = "card") -> Counter[str]:
        """As a worker does; their bodies."""
        letters = {job: self._letter(job, problem) for job in jobs}
        for ten in (list(letters.items())[start : start + 10] for start in range(0, len(letters), 10)):
            self.stack.sqs.send_message_batch(
                QueueUrl=self.stack.dead_letter_url(queue), Entries=[{"Id": str(job), **letter} for job, letter in ten]
            )
            puts = [{"PutRequest": {"Item": self._record(job)}} for job, _ in ten]
            self.stack.dynamodb.batch_write_item(RequestItems={self.stack.table("ledger"): puts})
        return Counter(letter["MessageBody"] for letter in letters.values())

    @staticmethod
    def _letter(job: int, problem: str) -> dict[str, Any]:
        body = encoded(valid_message(task="engine.effect", kwargs={"job": job}, id=f"job-{job}", retries=3))
        cause = {"reason": "failed", "message": problem, "exception": "ValueError"}
        cause["fingerprint"] = fingerprint("engine.effect", "ValueError", problem, "")
        told = {"reason": "failed", "cause": json.dumps(cause)}
        return {
            "MessageBody": body,
            "MessageAttributes": {name: {"DataType": "String", "StringValue": value} for name, value in told.items()},
        }

    @staticmethod
    def _record(job: int) -> dict[str, Any]:
        record = {"id": {"S": f"celery-task-meta-job-{job}"}, "state": {"S": "FAILURE"}, "generation": {"N": "4"}, "message_id": {"S": "m"}}
        return record | {"ttl": {"N": str(int(time.time()) + 9999)}}

    def dead(self, queue: str) -> int:
        names: Any = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        counts = self.stack.sqs.get_queue_attributes(QueueUrl=self.stack.dead_letter_url(queue), AttributeNames=names)["Attributes"]
        return sum(int(counts[name]) for name in names)

    def bodies(self, queue: str) -> Counter[str]:
        """Of all its dead letters. They are visible again in a moment."""
        url, found = self.stack.dead_letter_url(queue), []
        while some := self.stack.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=60).get("Messages"):
            found += some
        for message in found:
            self.stack.sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0)
        return Counter(message["Body"] for message in found)

    def letters(self, state: State = State.DEAD) -> list[DeadLetter]:
        return latest(self.settings, Selection(), state=state, limit=10_000)

    def redrive(self, *arguments: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-m", "app.manage", "dead_letters", "redrive", "--by", "ada", "--json", *arguments],
            cwd=REPOSITORY,
            env=self.stack.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def redriven(self, *arguments: str) -> None:
        done = self.redrive(*arguments)
        said, _ = done.communicate(timeout=90)
        assert done.returncode == 0, said

    def effects(self) -> Counter[Any]:
        return Counter(line["effect"] for line in self.notes() if "effect" in line)

    def notes(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in whole_lines(self.journal)]

    def job_state(self, task_id: str) -> str:
        key = {"id": {"S": f"celery-task-meta-{task_id}"}}
        return str(
            self.stack.dynamodb.get_item(TableName=self.stack.table("ledger"), Key=key).get("Item", {}).get("state", {}).get("S", "")
        )

    def send(self, task: str, task_id: str) -> None:
        done = self.stack.python(f"from celery import current_app\ncurrent_app.send_task({task!r}, queue='default', task_id={task_id!r})")
        assert done.returncode == 0, done.stderr

    def working(self) -> Any:
        """The worker, from the moment that somebody needs one."""
        if self.worker is None:
            self.worker = self.stack.start_program("worker-default", WORKER)
        return self.worker

    def rest(self) -> None:
        """Nobody works, and buries again what was sent back."""
        if self.worker is not None:
            self.worker.stop()
            self.worker = None

    def look(self) -> list[DeadLetter]:
        """What a relay does every 15 seconds."""
        Clerk(self.settings).look()
        return self.letters()


@pytest.fixture(scope="module")
def _shop(_make_stack: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    directory = tmp_path_factory.mktemp("redrives")
    stack = _make_stack(directory)
    # A second delivery would be a second start of what crashes, and what a lost answer hides is looked for half a minute later.
    stack.network.habits(duplicates=0, lost_receives=0)
    yield Shop(stack, directory)
    stack.stop()


@pytest.fixture
def shop(_shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Shop:
    monkeypatch.setattr("app.engine.dead_letters.walk._WAIT_SECONDS", 0)
    _shop.begin()
    return _shop


def test_a_relay_indexes_all_dead_letters_and_takes_none_of_them_away(shop: Shop) -> None:
    buried = {
        queue: sum((shop.bury(range(first, 200, 6), queue, problem) for first, problem in problems), Counter())
        for queue, problems in (
            ("default", ((0, "card"), (2, "account"), (4, "mail"))),
            ("emails", ((1, "mail"), (3, "card"), (5, "account"))),
        )
    }
    (relay,) = shop.stack.start("outbox-relay")

    eventually(lambda: len(shop.letters()), 200, within=60)

    groups = grouped(open_letters(shop.settings))
    assert sorted((group.message, group.count) for group in groups) == [("account", 66), ("card", 67), ("mail", 67)]
    eventually(lambda: all(shop.bodies(queue) == buried[queue] for queue in buried), within=15)
    assert {queue: shop.dead(queue) for queue in buried} == {"default": 100, "emails": 100}
    assert relay.stop() == 0
    first = groups[0].fingerprint
    shop.redriven("--fingerprint", first, "--rate", "40")
    assert {letter.fingerprint for letter in shop.letters()} == {group.fingerprint for group in groups[1:]}
    assert shop.dead("default") + shop.dead("emails") == 200 - groups[0].count


def outlive(shop: Shop, *, kills: int) -> None:
    """Kill whoever sends letters back, again and again; then let two do it at once."""
    jobs = {letter.task_id for letter in shop.letters()}
    for kill in range(kills):
        before = len(shop.letters())
        victim = shop.redrive("--all", "--rate", "30")
        wanted = before - len(jobs) // (kills + 2)
        eventually(lambda wanted=wanted: len(shop.letters()) <= wanted, within=30)  # type: ignore[misc]
        time.sleep(0.013 * kill)  # not always at the same step
        victim.send_signal(signal.SIGKILL)
        victim.communicate(timeout=10)
    both = [shop.redrive("--all") for _ in range(2)]
    for each in both:
        said, _ = each.communicate(timeout=120)
        assert each.returncode == 0, said
    assert shop.letters() == []

    def are_all_sent() -> bool:
        # What a killed one had in hand is dead again when its lease is over, and somebody repeats the order.
        if shop.look():
            shop.redriven("--all")
        return not shop.letters() and shop.dead("default") + shop.dead("emails") == 0

    eventually(are_all_sent, within=500)


def test_each_letter_is_one_effect_whoever_is_killed_while_two_send_them_back(shop: Shop) -> None:
    left = {int(letter.task_id.removeprefix("job-")) for letter in shop.letters()}
    outlive(shop, kills=1)
    assert Counter(letter.state for letter in shop.letters(State.REDRIVEN)) == {State.REDRIVEN: 200}

    worker = shop.working()
    eventually(lambda: len(shop.effects()), 200, within=60)
    eventually(lambda: sum(shop.stack.depth("default")) + sum(shop.stack.depth("emails")), 0, within=60)

    assert set(shop.effects().values()) == {1}
    assert left < set(shop.effects())
    assert worker.is_running


def test_a_second_death_shows_the_first_and_had_all_its_attempts(shop: Shop) -> None:
    shop.working()
    shop.send("engine.never", "never-1")
    (first,) = eventually(shop.look, within=60)

    shop.redriven(first.id)
    (second,) = eventually(lambda: [letter for letter in shop.look() if letter.id != first.id], within=90)

    assert [note["never"] for note in shop.notes()] == [0, 1, 0, 1]
    assert (first.redrives, second.redrives, first.fingerprint) == (0, 1, second.fingerprint)
    told = Index(shop.settings).get(second.id)
    assert told is not None
    assert told.lineage is not None
    assert [(redrive.by, redrive.letter) for redrive in told.lineage.redrives] == [("ada", first.id)]
    order = Order(action=Action.DISCARD, selection=Selection(ids=(second.id,)), by="ada")
    assert Desk(shop.settings, order).carry_out().done == 1
    assert shop.dead("default") == 0


@pytest.mark.long
def test_a_job_that_kills_its_workers_is_dead_and_after_the_repair_runs(shop: Shop) -> None:
    shop.stack.shorten_visibility("default", 3)
    shop.working()
    shop.send("engine.crash", "crash-1")

    (letter,) = eventually(shop.look, within=60)
    assert (letter.reason, letter.task, letter.task_id) == ("crash-loop", "engine.crash", "crash-1")
    # A claim may outlast its message by a lease: then the next round says so.
    eventually(lambda: shop.look() and shop.job_state("crash-1"), "DEAD", within=60)
    (shop.directory / "repaired").touch()
    shop.redriven("--task", "engine.crash")

    eventually(lambda: shop.job_state("crash-1"), "SUCCESS", within=30)
    assert shop.effects() == {"crash": 1}


@pytest.mark.long
@pytest.mark.timeout(900)
def test_letters_outlive_a_dozen_killed_redrivers_and_hostile_bodies(shop: Shop) -> None:
    shop.rest()
    shop.bury(range(1000, 1200), "default")
    shop.bury(range(1200, 1400), "emails")
    hostile = [
        shape.body for shape in HOSTILE if shape.outcome == "refused" and len(shape.body) < 100_000 and shape.body.isascii() and shape.body
    ]
    for body in hostile:
        shop.stack.sqs.send_message(QueueUrl=shop.stack.dead_letter_url("default"), MessageBody=body)
    # What is indexed later than the last order is nobody's business: the test would wait for it in vain.
    eventually(lambda: len(shop.look()), 400 + len(hostile), within=120)

    outlive(shop, kills=12)
    shop.working()
    eventually(lambda: len(shop.effects()), 400, within=120)

    eventually(lambda: sum(shop.stack.depth("default")) + sum(shop.stack.depth("emails")), 0, within=120)
    assert set(shop.effects().values()) == {1}
