"""Each id has one true state, whatever dies: asked of a running site, with real producers, relays and workers."""

import json
import signal
import urllib.parse
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.eventually import eventually
from tests.support.faults import Fault

WORKER = """
import os, time
from celery import shared_task
from celery.exceptions import Ignore
from app.config.celery import celery_app

@shared_task(name="engine.sleep", bind=True)
def sleep(self, seconds=0.0, **_):
    self.update_state(state="PROGRESS", meta={"done": 3, "of": 7})
    time.sleep(seconds)

@shared_task(name="engine.add")
def add(*numbers):
    return 1

@shared_task(name="engine.fail")
def fail(order):
    raise ValueError(f"order {order} cannot be done")

@shared_task(name="engine.again", bind=True)
def again(self):
    raise self.retry(countdown=3600)

@shared_task(name="engine.ignore")
def ignore():
    raise Ignore()

@shared_task(name="engine.replace", bind=True)
def replace(self):
    return self.replace(sleep.si())

@shared_task(name="engine.quiet", ignore_result=True)
def quiet():
    pass

celery_app.worker_main(["worker", "--queues", "default", "--concurrency", "4", "--loglevel", "INFO"])
"""

#: Everything that enqueues, in one process that is killed when the last ``delay()`` has returned.
PRODUCER = """
import json, os, signal
from celery import chain, chord, current_app, group, signature
from django.db import transaction

task = current_app.tasks["engine.debug_task"]
ids = {}
ids["delayed_an_hour"] = task.apply_async(countdown=3600).id
ids["delayed_a_minute"] = task.apply_async(countdown=60).id
ids["many"], ids["of_many"] = task.delay_many([{}, {}])
ids["part"], ids["other_part"] = [result.id for result in group(task.si(), task.si()).apply_async()]
first = chain(task.si(), task.si()).apply_async()
ids["chained"], ids["first"] = first.id, first.parent.id
body = chord([task.si(), task.si()], signature("engine.debug_task", immutable=True)).apply_async()
ids["body"] = body.id
ids["by_name"] = current_app.send_task("engine.debug_task", headers={"tenant": "acme"}).id
from app.engine.outbox.background import background_relay
background_relay.wake = lambda: None
with transaction.atomic():
    ids["committed"] = task.delay().id
try:
    with transaction.atomic():
        ids["rolled_back"] = task.delay().id
        raise KeyError
except KeyError:
    pass
ids["alone"] = task.delay().id
print(json.dumps(ids), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


class Desk:
    """A site, and questions to it."""

    def __init__(self, stack: Any) -> None:
        self.stack = stack

    def ask(self, task_id: str, **headers: str) -> Any:
        return self.stack.request("GET", f"/api/jobs/{urllib.parse.quote(task_id, safe='')}", headers=headers)

    def state(self, task_id: str) -> str:
        answer = self.ask(task_id)
        return str(answer.body["state"] if answer.status == 200 else answer.status)

    def search(self, **query: str) -> list[dict[str, Any]]:
        """All pages, two a page."""
        found: list[dict[str, Any]] = []
        cursor: dict[str, str] = {}
        while True:
            answer = self.stack.request("GET", "/api/jobs?" + urllib.parse.urlencode({"limit": "2", **query, **cursor}))
            assert answer.status == 200, answer
            found += answer.body["items"]
            if answer.body["next_cursor"] is None:
                return found
            cursor = {"cursor": answer.body["next_cursor"]}

    def produce(self, code: str, status: int = 0) -> Any:
        done = self.stack.python("import json, os, signal\nfrom celery import current_app\nfrom django.db import transaction\n" + code)
        assert done.returncode == status, done.stderr
        return json.loads(done.stdout.strip().splitlines()[-1]) if done.stdout.strip() else None

    def send(self, task: str, **kwargs: Any) -> str:
        (task_id,) = self.send_all((task, kwargs))
        return task_id

    def send_all(self, *jobs: tuple[str, dict[str, Any]]) -> list[str]:
        ids: list[str] = self.produce(f"print(json.dumps([current_app.send_task(task, kwargs=kwargs).id for task, kwargs in {jobs!r}]))")
        return ids


@pytest.fixture(scope="module")
def desk(_make_stack: Callable[[Any], Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    stack = _make_stack(tmp_path_factory.mktemp("whereabouts"))
    # Messages are counted here: none may be there twice, or be hidden for a second more.
    stack.network.habits(duplicates=0, late_sends=0)
    stack.start("web")
    yield Desk(stack)
    stack.stop()


@pytest.fixture
def worker(desk: Desk) -> Iterator[Any]:
    service = desk.stack.start_program("worker-default", WORKER)
    yield service
    service.stop(within=2)
    desk.stack.services.remove(service)


def test_whatever_was_enqueued_is_known_though_its_producer_is_killed_and_no_worker_runs(desk: Desk) -> None:
    ids = desk.produce(PRODUCER, status=-signal.SIGKILL)

    states = {name: desk.state(task_id) for name, task_id in ids.items()}
    assert states == {
        **dict.fromkeys(("alone", "by_name", "many", "of_many", "part", "other_part", "first"), "queued"),
        **dict.fromkeys(("committed", "delayed_an_hour", "delayed_a_minute", "chained", "body"), "scheduled"),
        "rolled_back": "404",
    }
    alone, by_name, chained = (desk.ask(ids[name]).body for name in ("alone", "by_name", "chained"))
    assert (alone["task"], alone["queue"], alone["attempts"]) == ("engine.debug_task", "default", None)
    assert min(alone["enqueued_at"], alone["origin"])
    assert alone["queueing"]["position"] >= 1
    assert by_name["tenant"] == "acme"
    assert chained["waits_for"] == ids["first"]
    assert desk.ask(ids["delayed_an_hour"]).body["due_at"]
    assert [job["id"] for job in desk.search(tenant="acme")] == [ids["by_name"]]

    relay, service = desk.stack.start("outbox-relay", "worker-default")

    over = set(ids) - {"delayed_an_hour", "delayed_a_minute", "rolled_back"}
    eventually(lambda: {desk.state(ids[name]) for name in over}, {"succeeded"}, within=60)
    assert {desk.state(ids[name]) for name in ("delayed_an_hour", "delayed_a_minute")} == {"scheduled"}
    told = desk.ask(ids["committed"]).body
    assert told["enqueued_at"] < told["started_at"] <= told["finished_at"]
    assert told["worker"].startswith("default@")
    assert told["release"] == "development"
    assert desk.search(tenant="acme", state="succeeded")
    for stopped in (relay, service):
        stopped.stop()
        desk.stack.services.remove(stopped)


BETWEEN_RECORD_AND_SEND = "relay._record = lambda messages, record=relay._record: (record(messages), die())"
BETWEEN_SEND_AND_DELETE = "relay._send = lambda messages, send=relay._send: (send(messages), die())"


def test_a_relay_that_is_killed_half_way_leaves_a_job_in_one_state(desk: Desk) -> None:
    before = sum(desk.stack.depth("default"))
    ids = []
    for cut in (BETWEEN_RECORD_AND_SEND, BETWEEN_SEND_AND_DELETE):
        ids.append(
            desk.produce(
                "from app.engine.outbox.background import background_relay\nbackground_relay.wake = lambda: None\n"
                "with transaction.atomic():\n    result = current_app.tasks['engine.debug_task'].delay()\n"
                "print(json.dumps(result.id), flush=True)\n"
                "from app.engine.outbox import relay\ndef die(): os.kill(os.getpid(), signal.SIGKILL)\n"
                f"{cut}\nrelay.relay_once()",
                status=-signal.SIGKILL,
            )
        )
        # PostgreSQL holds the rows of a dead relay until it notices, and the next relay would skip them.
        eventually(lambda: desk.stack.query("SELECT count(*) FROM pg_locks WHERE relation = 'outbox_outboxmessage'::regclass"), [(0,)])

    assert [desk.state(task_id) for task_id in ids] == ["scheduled"] * 2
    # The second relay has sent both, and forgotten none.
    assert sum(desk.stack.depth("default")) - before == 2
    desk.produce("from app.engine.outbox import relay\nrelay.relay_once()")
    assert [desk.state(task_id) for task_id in ids] == ["queued"] * 2


def test_what_runs_and_how_it_ended_is_told(desk: Desk, worker: Any) -> None:
    running, failed, other, retried, ignored, replaced, quiet = desk.send_all(
        ("engine.sleep", {"seconds": 60}),
        *(("engine.fail", {"order": order}) for order in (17, 4711)),
        *((f"engine.{name}", {}) for name in ("again", "ignore", "replace", "quiet")),
    )

    told = eventually(lambda: desk.ask(running).body, lambda body: body.get("progress"), within=20)
    assert (told["state"], told["progress"]) == ("started", {"state": "PROGRESS", "meta": {"done": 3, "of": 7}})
    eventually(lambda: running in {job["id"] for job in desk.search(state="started")}, within=20)
    wanted = {failed: "failed", retried: "retrying", ignored: "ignored", replaced: "succeeded", quiet: "succeeded", other: "failed"}
    eventually(lambda: {task_id: desk.state(task_id) for task_id in wanted}, wanted, within=20)
    assert desk.ask(retried).body["due_at"] > told["started_at"]
    cause = eventually(lambda: dead_letter_of(desk, failed), within=15)
    failure = desk.ask(failed).body
    assert (failure["error"], failure["fingerprint"]) == ("ValueError: order 17 cannot be done", cause["fingerprint"])
    assert {job["id"] for job in desk.search(fingerprint=failure["fingerprint"])} == {failed, other}
    assert {failed, other} <= {job["id"] for job in desk.search(state="failed", task="engine.fail", queue="default")}
    assert desk.search(state="failed", task="engine.sleep") == []
    assert retried in {job["id"] for job in desk.search(state="retrying")}
    assert quiet in {job["id"] for job in desk.search(task="engine.quiet")}
    latest = desk.search()
    assert [job["at"] for job in latest] == sorted((job["at"] for job in latest), reverse=True)
    assert desk.state(running) == "started"


def dead_letter_of(desk: Desk, task_id: str) -> Any:
    answer = desk.stack.sqs.receive_message(
        QueueUrl=desk.stack.dead_letter_url("default"), MaxNumberOfMessages=10, VisibilityTimeout=1, MessageAttributeNames=["All"]
    )
    causes = [json.loads(message["MessageAttributes"]["cause"]["StringValue"]) for message in answer.get("Messages", [])]
    return next((cause for cause in causes if cause["task_id"] == task_id), None)


@pytest.mark.long
def test_a_run_whose_worker_was_killed_is_told_as_such_until_another_takes_it_over(desk: Desk, worker: Any) -> None:
    desk.stack.shorten_visibility("default", 4)
    task_id = desk.send("engine.sleep", seconds=4)
    eventually(lambda: desk.state(task_id), "started", within=20)
    worker.kill()

    told = eventually(lambda: desk.ask(task_id).body, lambda body: body["reason"], within=15)
    assert told["state"] == "started"
    assert "its worker was last heard of at" in told["reason"]
    successor = desk.stack.start_program("worker-default", WORKER)
    eventually(lambda: desk.state(task_id), "succeeded", within=30)
    assert desk.ask(task_id).body["receives"] >= 2
    successor.stop()
    desk.stack.services.remove(successor)


def test_an_id_that_nobody_enqueued_is_never_enqueued_here_only_while_all_places_can_be_read(desk: Desk) -> None:
    unknown = desk.ask("no-such-job")
    assert (unknown.status, unknown.body["title"]) == (404, "Never enqueued here")
    assert "168 hours" in unknown.body["detail"]
    assert [desk.ask(absurd).status for absurd in ("x" * 256, "a\x7fb", "a\x00b")] == [422] * 3
    assert [desk.ask(odd).status for odd in ("a/b", "ünïcode", "%2e%2e", " ")] == [404] * 4
    assert desk.ask("1", Authorization="Bearer no").status == 401
    for query in ({"state": "done"}, {"state": "queued"}, {"fingerprint": "?"}, {"since": "?"}, {"cursor": "?"}, {"limit": "0"}):
        assert desk.stack.request("GET", "/api/jobs?" + urllib.parse.urlencode(query)).status == 422, query

    desk.stack.network.fail("DynamoDB.*", Fault.UNAVAILABLE)
    away = desk.ask("no-such-job")
    desk.stack.network.heal()
    assert (away.status, away.body["title"]) == (503, "Not certain")


def test_a_token_of_others_than_staff_learns_nothing(desk: Desk) -> None:
    token = desk.produce(
        "from django.contrib.auth import get_user_model\nfrom app.api.tokens import issue_token\n"
        "print(json.dumps(issue_token(get_user_model().objects.create_user('ada'), 'tests')))"
    )

    assert desk.ask("1", Authorization=f"Bearer {token}").status == 403


def test_the_command_says_the_same_with_its_exit_status(desk: Desk) -> None:
    task_id = desk.send("engine.debug_task")

    known, unknown = desk.stack.manage("job", task_id), desk.stack.manage("job", "no-such-job")
    assert (known.returncode, known.stdout.split()[0]) == (0, "queued")
    assert unknown.returncode == 1
    assert "never enqueued here" in unknown.stderr


def test_while_the_ledger_is_away_jobs_are_enqueued_and_none_is_unknown_afterwards(desk: Desk) -> None:
    deliver_late_records(desk)
    desk.stack.network.fail("DynamoDB.*", Fault.UNAVAILABLE)
    ids = desk.produce(
        "task = current_app.tasks['engine.debug_task']\nids = [task.delay().id for _ in range(3)] + task.delay_many([{}, {}])\n"
        "with transaction.atomic():\n    ids.append(task.delay().id)\nprint(json.dumps(ids))"
    )
    eventually(lambda: desk.stack.query("SELECT count(*) FROM outbox_outboxmessage WHERE due_at IS NULL"), [(0,)], within=20)
    desk.stack.network.heal()

    assert [desk.state(task_id) for task_id in ids] == ["queued"] * len(ids)
    assert deliver_late_records(desk) == len(ids)
    assert desk.stack.query("SELECT count(*) FROM outbox_laterecord") == [(0,)]
    assert [desk.state(task_id) for task_id in ids] == ["queued"] * len(ids)


def deliver_late_records(desk: Desk) -> int:
    """A write to the ledger that took too long has left one, too."""
    delivered: int = desk.produce(
        "from app.engine.outbox.late_records import deliver\nprint(json.dumps(deliver(current_app.job_register.write)))"
    )
    return delivered
