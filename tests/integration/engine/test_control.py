"""Remote control of real workers, by Celery's own command line and functions."""

import json
import subprocess
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.environment import REPOSITORY
from tests.support.eventually import eventually
from tests.support.faults import Fault
from tests.support.stack import BIN, Service

Celery = Callable[..., "subprocess.CompletedProcess[str]"]

WORKER = """
import time
from pathlib import Path
from app.config.celery import celery_app

@celery_app.task(name="engine.hold")
def hold(until):
    while not Path(until).exists():
        time.sleep(0.05)

celery_app.worker_main(["worker", "--loglevel", "INFO", *{arguments!r}])
"""


def start_worker(stack: Any, node: str, *arguments: str, queues: str = "default", is_heard: bool = True) -> Service:
    """A worker under a name of its own: those of the topology are called by their machine."""
    told = ["--hostname", node, "--queues", queues, "--concurrency", "2", *arguments]
    worker: Service = stack.start_program("worker-default", WORKER.format(arguments=told))
    # Two of them touch the same pulse file.
    eventually(lambda: f"{node} ready." in worker.log.read_text(), within=40)
    if is_heard:
        # Who commands waits for the answers of those whose heartbeat was heard.
        eventually(lambda: node in str(stack.dynamodb.scan(TableName=stack.table("workers"), ConsistentRead=True)["Items"]), within=20)
    return worker


@pytest.fixture
def control(stack: Any) -> Celery:
    """``control("inspect", "ping")``: the real command line, in a process of its own."""
    stack.network.habits(duplicates=0)  # every run counts

    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [str(BIN / "celery"), "--app", "app.config", *arguments],
            cwd=REPOSITORY,
            env=stack.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    return run


def answers(done: "subprocess.CompletedProcess[str]") -> Any:
    """What ``--json`` printed, by worker."""
    assert done.returncode == 0, done.stdout + done.stderr
    printed = done.stdout.strip()
    found = json.loads(printed[printed.index("[" if printed.startswith("[") else "{") :])
    return {node: answer for one in found for node, answer in one.items()} if isinstance(found, list) else found


def send(stack: Any, seconds: float, count: int = 1, **options: Any) -> list[str]:
    done = stack.python(
        "import json\nfrom celery import current_app\n"
        f"jobs = [current_app.tasks['engine.debug_task'].apply_async(kwargs={{'seconds': {seconds}}}, **{options!r}) for _ in range({count})]\n"
        "print(json.dumps([job.id for job in jobs]))"
    )
    assert done.returncode == 0, done.stderr
    ids: list[str] = json.loads(done.stdout.strip().splitlines()[-1])
    return ids


class Held:
    """Jobs that run until they are released."""

    def __init__(self, stack: Any, count: int) -> None:
        self._until = stack.directory / "released"
        arguments = [str(self._until)]
        done = stack.python(
            "import json\nfrom celery import current_app\n"
            f"print(json.dumps([current_app.send_task('engine.hold', {arguments!r}).id for _ in range({count})]))"
        )
        assert done.returncode == 0, done.stderr
        self.ids: list[str] = json.loads(done.stdout.strip().splitlines()[-1])

    def release(self) -> None:
        self._until.touch()


def states(stack: Any, ids: list[str]) -> list[str]:
    done = stack.python(f"import json\nfrom celery.result import AsyncResult\nprint(json.dumps([AsyncResult(i).state for i in {ids!r}]))")
    assert done.returncode == 0, done.stderr
    found: list[str] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def started(*workers: Service) -> list[str]:
    return [line["task_id"] for worker in workers for line in worker.lines() if line.get("message") == "task started"]


def ended(*workers: Service) -> list[str]:
    return [line["task_id"] for worker in workers for line in worker.lines() if line.get("message") == "task ended"]


def ask(stack: Any, expression: str) -> Any:
    """The value of an expression of ``control``, and the seconds it took."""
    done = stack.python(
        "import json, time\nfrom celery import current_app\nfrom kombu.utils.json import dumps\ncontrol = current_app.control\n"
        "def timed(call, *arguments, **options):\n    began = time.monotonic()\n    return call(*arguments, **options), time.monotonic() - began\n"
        f"began = time.monotonic()\nvalue = {expression}\nprint(dumps([value, time.monotonic() - began]))"
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.strip().splitlines()[-1])


@pytest.fixture
def pair(stack: Any, control: Celery) -> tuple[Service, Service]:
    return start_worker(stack, "one@h"), start_worker(stack, "two@h")


def test_two_workers_answer_inspect_and_status_and_no_queue_is_made(stack: Any, control: Celery) -> None:
    queues = sorted(stack.sqs.list_queues()["QueueUrls"])
    assert "No nodes replied" in stack.manage("celery", "status").stderr
    start_worker(stack, "one@h")
    start_worker(stack, "two@h")

    assert answers(control("inspect", "--json", "ping")) == {"one@h": {"ok": "pong"}, "two@h": {"ok": "pong"}}
    assert "2 nodes online" in control("status").stdout
    assert "2 nodes online" in stack.manage("celery", "status").stdout
    assert set(answers(control("inspect", "--json", "--destination", "two@h", "ping"))) == {"two@h"}
    assert sorted(stack.sqs.list_queues()["QueueUrls"]) == queues


COMMANDS = ("ping", "active", "reserved", "scheduled", "revoked", "stats", "registered", "active_queues", "conf", "report")


def test_every_inspection_is_answered_by_both_within_three_seconds(stack: Any, pair: Any) -> None:
    slow = dict.fromkeys(COMMANDS, 0.0)
    # A busy machine answers late now and then, and never each time.
    for _ in range(4):
        found, _ = ask(stack, f"{{command: timed(control.inspect()._request, command) for command in {tuple(slow)!r}}}")
        slow = {command: seconds for command, (replies, seconds) in found.items() if sorted(replies) != ["one@h", "two@h"] or seconds > 3}
        if not slow:
            return
    raise AssertionError(f"not answered by both within three seconds: {slow}")


# -- revocations ----------------------------------------------------------------------------------------------------------


def revoke(stack: Any, ids: list[str], **options: Any) -> list[dict[str, Any]]:
    replies, _ = ask(stack, f"control.revoke({ids!r}, reply=True, **{options!r})")
    found: list[dict[str, Any]] = replies
    return found


def test_of_twelve_queued_jobs_the_six_that_are_revoked_never_run(stack: Any, pair: Any) -> None:
    busy = Held(stack, 4)
    eventually(lambda: set(started(*pair)), set(busy.ids), within=40)
    queued = send(stack, 0, count=12)

    assert len(revoke(stack, queued[::2])) == 2

    busy.release()
    eventually(lambda: set(ended(*pair)), {*busy.ids, *queued[1::2]}, within=60)
    eventually(lambda: stack.depth("default"), (0, 0), within=40)
    assert not set(queued[::2]) & set(started(*pair))
    assert states(stack, queued) == ["REVOKED", "SUCCESS"] * 6


def test_workers_that_start_later_run_no_revoked_job_whether_it_was_queued_delayed_or_far_off(stack: Any, control: Celery) -> None:
    queued = send(stack, 0, count=2)
    delayed = send(stack, 0, countdown=20)
    far_off = send(stack, 0, countdown=3600)
    fine = send(stack, 0, count=2)

    assert ask(stack, f"control.revoke({[*queued, *delayed, *far_off]!r})")[0] is None
    worker = start_worker(stack, "one@h")

    assert stack.query("SELECT count(*) FROM outbox_outboxmessage") == [(0,)]
    eventually(lambda: stack.depth("default"), (0, 0), within=40)
    eventually(lambda: states(stack, [*queued, *delayed, *far_off, *fine]), [*["REVOKED"] * 4, *["SUCCESS"] * 2], within=40)
    assert set(started(worker)) == set(fine)


def test_a_run_is_terminated_within_five_seconds_and_its_worker_goes_on(stack: Any, pair: Any) -> None:
    first, *others = send(stack, 120, count=3)
    eventually(lambda: len(started(*pair)), 3, within=40)

    _, seconds = ask(
        stack,
        f"""[current_app.AsyncResult({first!r}).revoke(terminate=True)]
from celery.exceptions import TaskRevokedError
try:
    current_app.AsyncResult({first!r}).get(timeout=20)
except TaskRevokedError:
    pass""",
    )

    assert seconds <= 5
    eventually(lambda: sum(stack.depth("default")), 2)
    assert len(revoke(stack, others, terminate=True, signal="SIGKILL")) == 2
    eventually(lambda: states(stack, [first, *others]), ["REVOKED"] * 3, within=40)
    eventually(lambda: stack.depth("default"), (0, 0))
    again = send(stack, 0, count=4)
    eventually(lambda: set(ended(*pair)), set(again).issubset, within=40)


@pytest.mark.long
def test_jobs_are_revoked_by_their_stamps(stack: Any, control: Celery) -> None:
    done = stack.python(
        "from celery import current_app\n"
        "for order in ('7', '8'):\n"
        "    signature = current_app.tasks['engine.debug_task'].si()\n"
        "    signature.stamp(order=order)\n"
        "    signature.apply_async()\n"
    )
    assert done.returncode == 0, done.stderr
    ask(stack, "control.revoke_by_stamped_headers({'order': ['7']})")

    worker = start_worker(stack, "one@h")

    eventually(lambda: stack.depth("default"), (0, 0), within=40)
    assert len(started(worker)) == 1


# -- pauses and drains ----------------------------------------------------------------------------------------------------


def consumed(stack: Any) -> dict[str, list[str]]:
    found, _ = ask(stack, "{node: [queue['name'] for queue in queues] for node, queues in control.inspect().active_queues().items()}")
    by_worker: dict[str, list[str]] = found
    return by_worker


@pytest.mark.long
def test_a_paused_queue_waits_on_every_worker_and_on_one_that_starts_later(stack: Any, control: Celery, pair: Any) -> None:
    first, second = pair

    assert answers(control("control", "--json", "pause_queue", "default")).keys() == {"one@h", "two@h"}
    waiting = send(stack, 0, count=5)
    assert second.stop() == 0
    third = start_worker(stack, "three@h")

    assert consumed(stack) == {"one@h": [], "three@h": []}
    assert answers(control("inspect", "--json", "paused_queues")) == {"one@h": ["default"], "three@h": ["default"]}
    assert ask(stack, "sorted(control.paused_queues())")[0] == ["default"]
    assert started(first, second, third) == []
    assert stack.depth("default") == (5, 0)

    ask(stack, "control.resume_queue('default', reply=True)")
    eventually(lambda: set(ended(first, third)), set(waiting), within=40)
    assert consumed(stack) == {"one@h": ["default"], "three@h": ["default"]}
    assert ask(stack, "sorted(control.paused_queues())")[0] == []


def test_a_drained_worker_finishes_what_it_has_and_takes_no_more_until_it_is_told_so(stack: Any, control: Celery, pair: Any) -> None:
    first, second = pair
    held = Held(stack, 4)
    eventually(lambda: len(started(*pair)), 4, within=40)
    before = set(started(first))

    assert answers(control("control", "--json", "--destination", "one@h", "drain")) == {"one@h": {"ok": "draining"}}
    more = send(stack, 0, count=6)
    held.release()

    eventually(lambda: set(ended(*pair)), {*held.ids, *more}, within=60)
    assert set(started(first)) == before
    assert ask(stack, "{node: told['draining'] for node, told in control.inspect().stats().items()}")[0] == {"one@h": True, "two@h": False}

    ask(stack, "control.undrain(['one@h'], reply=True)")
    assert second.stop() == 0
    again = send(stack, 0)
    eventually(lambda: set(ended(first)), set(again).issubset, within=40)


# -- everything else ------------------------------------------------------------------------------------------------------


@pytest.mark.long
def test_limits_slots_and_queues_are_changed_and_a_worker_is_shut_down_by_the_command_line(stack: Any, control: Celery) -> None:
    worker = start_worker(stack, "one@h")

    for command, said in (
        (("rate_limit", "engine.debug_task", "60/m"), "new rate limit set successfully"),
        (("time_limit", "engine.debug_task", "50", "60"), "time limits set successfully"),
        (("pool_grow", "2"), "pool will grow"),
        (("add_consumer", "emails"), "add consumer emails"),
        (("cancel_consumer", "default"), "no longer consuming from default"),
    ):
        assert answers(control("control", "--json", *command)) == {"one@h": {"ok": said}}

    found, _ = ask(
        stack,
        "[len(control.inspect().stats()['one@h']['pool']['processes']), control.inspect().registered('rate_limit', 'time_limit')['one@h']]",
    )
    assert found[0] == 4
    assert "engine.debug_task [rate_limit=60/m time_limit=60.0]" in found[1]
    assert consumed(stack) == {"one@h": ["emails"]}
    unknown = ask(stack, "control.add_consumer('letters', reply=True)")[0]
    assert "there is no queue letters" in unknown[0]["one@h"]["error"]

    assert answers(control("control", "--json", "shutdown")) == {"one@h": {"ok": "shutting down"}}
    assert worker.process.wait(20) == 0


@pytest.mark.long
def test_slots_shrink_and_the_bounds_of_autoscaling_move(stack: Any, control: Celery) -> None:
    start_worker(stack, "one@h")
    start_worker(stack, "two@h", "--autoscale", "4,2")

    assert ask(stack, "control.pool_shrink(1, destination=['one@h'], reply=True)")[0] == [{"one@h": {"ok": "pool will shrink"}}]
    assert answers(control("control", "--json", "--destination", "two@h", "autoscale", "6", "3")) == {
        "two@h": {"ok": "autoscale now max=6 min=3"}
    }

    eventually(
        lambda: ask(stack, "{node: len(told['pool']['processes']) for node, told in control.inspect().stats().items()}")[0],
        {"one@h": 1, "two@h": 3},
        within=60,
    )


@pytest.mark.long
def test_what_was_ordered_before_a_worker_started_is_not_done_by_it(stack: Any, control: Celery) -> None:
    ask(stack, "[control.shutdown(), control.rate_limit('engine.debug_task', '1/h')]")

    worker = start_worker(stack, "one@h")

    assert ask(stack, "control.inspect().registered('rate_limit')['one@h']")[0].count("engine.debug_task [rate_limit=1/h]") == 0
    assert worker.is_running


def test_the_arguments_of_a_running_job_are_not_told(stack: Any, control: Celery) -> None:
    worker = start_worker(stack, "one@h")
    (job,) = send(stack, 41)
    eventually(lambda: started(worker), [job], within=40)

    found, _ = ask(stack, f"[control.inspect().active(), control.inspect().query_task({job!r})]")

    assert found[0]["one@h"][0]["id"] == job
    assert found[1]["one@h"][job][0] == "active"
    assert "41" not in json.dumps([found[0]["one@h"][0]["kwargs"], found[0]["one@h"][0]["args"], found[1]["one@h"][job][1]["kwargs"]])
    assert answers(control("control", "--json", "terminate", "SIGKILL", job)) == {"one@h": {"ok": f"terminate: {job}"}}
    eventually(lambda: states(stack, [job]), ["REVOKED"], within=40)


@pytest.mark.long
@pytest.mark.parametrize("pool", ["threads", "solo"])
def test_other_pools_answer_too_and_say_that_they_cannot_terminate(stack: Any, control: Celery, pool: str) -> None:
    worker = start_worker(stack, "one@h", "--pool", pool)
    eventually(lambda: ask(stack, "control.ping()")[0], [{"one@h": {"ok": "pong"}}], within=40)
    if pool == "solo":  # which answers between two jobs only
        return
    (job,) = send(stack, 12)
    eventually(lambda: started(worker), [job], within=40)

    assert "this pool cannot end a run" in revoke(stack, [job], terminate=True)[0]["one@h"]["error"]
    eventually(lambda: ended(worker), [job], within=40)


# -- DynamoDB is away -----------------------------------------------------------------------------------------------------


@pytest.mark.long
def test_a_worker_outlives_ten_seconds_without_dynamodb_and_then_heeds_what_was_posted(stack: Any, pair: Any) -> None:
    began = time.monotonic()
    stack.network.fail("DynamoDB.*", Fault.ERROR)

    eventually(lambda: time.monotonic() - began > 10, within=40)
    assert all(worker.is_running for worker in pair)
    stack.network.heal()

    # Whose heartbeat is late is not waited for.
    eventually(lambda: len(ask(stack, "control.ping()")[0]), 2, within=40)
    for worker in pair:
        said = [line["message"] for line in worker.lines() if line.get("message") in {"mailbox not read", "mailbox read again"}]
        assert said == ["mailbox not read", "mailbox read again"]


@pytest.mark.long
def test_a_worker_takes_no_job_before_it_knows_what_is_revoked(stack: Any, control: Celery) -> None:
    queued = send(stack, 0, count=4)
    ask(stack, f"control.revoke({queued[:2]!r})")
    stack.network.fail("DynamoDB.Query", Fault.ERROR)
    worker = start_worker(stack, "one@h", is_heard=False)
    eventually(lambda: [line for line in worker.lines() if line.get("message") == "mailbox not read"], within=40)
    assert stack.depth("default") == (4, 0)

    stack.network.heal()

    eventually(lambda: stack.depth("default"), (0, 0), within=40)
    assert set(started(worker)) == set(queued[2:])
