"""SIGKILL at every step of a job's life: afterwards each job is in one true state, and had as many runs as was promised."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.eventually import eventually

#: How soon a crash is noticed here.
VISIBILITY_SECONDS = 3
TRUE_WITHIN_SECONDS = 60
FAILING = ("failed", "moved")
IN_THE_PUBLISHER = ("enqueued", "committed")
IN_THE_OUTBOX = ("committed", "recorded", "sent")
#: Step: what it is, and how many runs of one attempt may come to their end.
STEPS = {
    "enqueued": ("after delay() has returned, in the process that called it", 1),
    "committed": ("after the commit, in the process that published", 1),
    "recorded": ("in the relay, after the job was recorded and before it was sent", 1),
    "sent": ("in the relay, after it was sent and before its row was deleted", 1),
    "received": ("received and not claimed", 1),
    "claimed": ("claimed and not begun", 1),
    "running": ("in the middle of the run", 1),
    "ran": ("after the run, before its result was stored", 2),
    "stored": ("after the result, before the message was deleted", 1),
    # The first attempt once more, if its message is there again before the next attempt has begun; never that one.
    "retrying": ("after the retry was sent, before that was recorded", 2),
    "failed": ("after the failure was recorded, before the message was moved", 1),
    "moved": ("after the message was moved, before it was deleted", 1),
}
PROGRAM = "import runpy, sys\nsys.argv = ['mortal', {role!r}]\nrunpy.run_module('tests.support.mortal', run_name='__main__')"
#: Each job is published by a process that dies at once, also before its own relay has sent anything; the next when that one's death is due.
PUBLISH = """
import os, pathlib, signal, time
from celery import current_app
from django.db import connections, transaction
from app.engine.conf import engine_settings
from app.engine.jobs.whereabouts import find_job
from app.engine.outbox.background import background_relay
background_relay.wake = lambda: None

def known(task_id):
    state = find_job(engine_settings(), task_id).state
    assert state is not None, f"{task_id} is unknown"
    # The next publisher is forked, and must not inherit the connection.
    connections.close_all()

def publish(task_id, kind, in_a_transaction):
    def send(): current_app.send_task("engine.mortal", kwargs={"kind": kind}, task_id=task_id)
    if in_a_transaction:
        with transaction.atomic(): send()
    else:
        send()

for task_id, kind, in_a_transaction, is_dying_later in JOBS:
    if (child := os.fork()) == 0:
        try:
            publish(task_id, kind, in_a_transaction)
            os.kill(os.getpid(), signal.SIGKILL)
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL, task_id
    known(task_id)
    death, end = pathlib.Path(os.environ["DEATHS"]) / task_id, time.monotonic() + 60
    while is_dying_later and not death.exists():
        assert time.monotonic() < end, f"{task_id} is not dead"
        time.sleep(0.05)
    known(task_id)
"""
#: Whatever was never enqueued is unknown, and nothing else.
ASK = """
import json
from app.engine.conf import engine_settings
from app.engine.jobs.whereabouts import find_job
print(json.dumps({task_id: find_job(engine_settings(), task_id).state for task_id in [*TASK_IDS, "never-0"]}))
"""


class Shop:
    """A worker and a relay that are killed, and a fresh one in their place each time."""

    def __init__(self, stack: Any, directory: Path) -> None:
        self.stack, self.journal, self.deaths = stack, directory / "journal", directory / "deaths"
        self.journal.touch()
        self.deaths.mkdir()
        stack.environment |= {"JOURNAL": str(self.journal), "DEATHS": str(self.deaths)}
        # Each receive is one of ours. A job that is near another's death is received once more; that is not what is looked at here.
        stack.network.habits(duplicates=0, lost_receives=0)
        stack.shorten_visibility("default", VISIBILITY_SECONDS)
        stack.bury_after("default", 100)
        stack.start_program("worker-default", PROGRAM.format(role="worker"))
        stack.start_program("outbox-relay", PROGRAM.format(role="relay"))

    def kill_at(self, steps: Iterable[str], number: int) -> list[str]:
        """Have one job after the other live until its step, and what carries it die there. Returns their ids."""
        jobs = []
        for step in steps:
            kind = "fails" if step in FAILING else "retries" if step == "retrying" else ""
            jobs.append((f"{step}-{number}", kind, step in IN_THE_OUTBOX, step not in IN_THE_PUBLISHER))
        done = self.stack.python(f"JOBS = {jobs!r}\n{PUBLISH}")
        assert done.returncode == 0, done.stderr[-1000:]
        return [task_id for task_id, *_ in jobs]

    def outbox(self) -> int:
        return int(self.stack.query("SELECT count(*) FROM outbox_outboxmessage")[0][0])

    def await_truth(self, task_ids: list[str]) -> None:
        """Every job is over, and says so; what failed is among the dead letters, and nothing else is."""
        eventually(lambda: (sum(self.stack.depth("default")), self.outbox()), (0, 0), within=TRUE_WITHIN_SECONDS)
        wanted = {task_id: "failed" if task_id.startswith(FAILING) else "succeeded" for task_id in task_ids}
        eventually(lambda: self.states(task_ids), wanted | {"never-0": None}, within=TRUE_WITHIN_SECONDS)
        # The relay's clerk may have them in hand for some seconds.
        eventually(
            lambda: self.dead_letters(task_ids),
            {task_id for task_id, state in wanted.items() if state == "failed"},
            within=TRUE_WITHIN_SECONDS,
        )

    def states(self, task_ids: list[str]) -> Any:
        done = self.stack.python(f"TASK_IDS = {task_ids!r}\n{ASK}")
        assert done.returncode == 0, done.stderr[-1000:]
        return json.loads(done.stdout.splitlines()[-1])

    def dead_letters(self, task_ids: list[str]) -> set[str]:
        found: set[str] = set()
        url = self.stack.dead_letter_url("default")
        while messages := self.stack.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=5).get("Messages"):
            found |= {task_id for message in messages for task_id in task_ids if f'"{task_id}"' in message["Body"]}
        return found

    def ends(self, task_ids: list[str]) -> dict[str, list[int]]:
        """How often each attempt of each job came to its end."""
        counted: dict[str, Counter[int]] = {task_id: Counter() for task_id in task_ids}
        for line in self.journal.read_text().splitlines():
            what, task_id, attempt = line.split()
            if what == "ended" and task_id in counted:
                counted[task_id][int(attempt)] += 1
        return {task_id: [count for _, count in sorted(attempts.items())] for task_id, attempts in counted.items()}


@pytest.fixture(scope="module")
def shop(_make_stack: Callable[[Path], Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    directory = tmp_path_factory.mktemp("kill-matrix")
    stack = _make_stack(directory)
    yield Shop(stack, directory)
    stack.stop()


@pytest.mark.timeout(300)
def test_a_kill_at_any_step_leaves_each_job_in_one_true_state(shop: Shop) -> None:
    """One job after the other is killed without waiting for the last one's end, so a kill may meet two of them."""
    task_ids = shop.kill_at(STEPS, 0)

    shop.await_truth(task_ids)
    ends = shop.ends(task_ids)
    assert {task_id for task_id, counts in ends.items() if not counts or max(counts) > 2} == set()


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("step", STEPS)
def test_twenty_kills_at_one_step_leave_the_runs_that_are_promised(shop: Shop, step: str) -> None:
    task_ids = []
    for number in range(1, 21):
        killed = shop.kill_at([step], number)
        shop.await_truth(killed)
        task_ids += killed

    ends = shop.ends(task_ids)
    attempts = 2 if step == "retrying" else 1
    assert {task_id: counts for task_id, counts in ends.items() if len(counts) != attempts or max(counts) > STEPS[step][1]} == {}
    assert attempts == 1 or {counts[-1] for counts in ends.values()} == {1}
