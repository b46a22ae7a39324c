"""Tasks travel: outbox, SQS, worker, ledger, with Celery's own ways of calling them."""

import json
import random
from pathlib import Path
from typing import Any

import pytest

from benchmarks.scaling.traces import TRACES, replayed
from tests.support.eventually import eventually
from tests.support.faults import Network


@pytest.fixture
def running(site: Any) -> Any:
    """The session's deployment, where everything runs."""
    return site.stack


def _worker_lines(stack: Any) -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = next(service for service in stack.services if service.name == "worker-default").lines()
    return lines


def _run(stack: Any, code: str) -> Any:
    done = stack.python("from celery import chain, chord, current_app, group\nfrom django.db import transaction\nimport json\n" + code)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.strip().splitlines()[-1])


def test_a_task_called_outside_a_transaction_is_sent_at_once(running: Any) -> None:
    answer = _run(running, "r = current_app.tasks['engine.debug_task'].delay()\nprint(json.dumps([r.id, r.get(timeout=20)]))")

    assert answer[1]["id"] == answer[0]


def test_a_task_called_inside_a_transaction_runs_under_the_id_that_delay_returned(running: Any) -> None:
    answer = _run(
        running,
        "with transaction.atomic():\n"
        "    first = current_app.tasks['engine.debug_task'].delay()\n"
        "    second = current_app.send_task('engine.debug_task')\n"
        "print(json.dumps([first.id, second.id, first.get(timeout=20)['id'], second.get(timeout=20)['id']]))",
    )

    assert answer[:2] == answer[2:]


def test_delay_on_commit_survives_an_sqs_that_is_away_at_the_commit(stack: Any) -> None:
    stack.network.become(Network.REFUSED)
    _run(
        stack,
        "with transaction.atomic():\n    current_app.tasks['engine.debug_task'].delay_on_commit()\nprint(0)",
    )

    assert stack.query("SELECT task FROM outbox_outboxmessage") == [("engine.debug_task",)]


def test_a_misspelt_name_is_refused_where_it_is_sent(stack: Any) -> None:
    done = stack.python("from celery import current_app\ncurrent_app.send_task('paymnts.capture')")

    assert "No queue carries the task 'paymnts.capture'" in done.stderr
    assert stack.depth("default") == (0, 0)


def test_a_message_for_an_unknown_task_waits_for_a_worker_that_knows_it_and_shows_no_arguments(running: Any) -> None:
    _run(running, "current_app.send_task('payments.of_tomorrow', kwargs={'card': 'swordfish'})\nprint(0)")

    worker = next(service for service in running.services if service.name == "worker-default")
    line, *_ = eventually(lambda: [line for line in worker.lines() if line.get("message") == "unknown task parked"], bool)
    assert line["task"] == "payments.of_tomorrow"
    assert "swordfish" not in worker.log.read_text()


def test_a_rolled_back_transaction_sends_nothing(running: Any) -> None:
    answer = _run(
        running,
        "task = current_app.tasks['engine.debug_task']\n"
        "ids = []\n"
        "try:\n"
        "    with transaction.atomic():\n"
        "        ids.append(task.delay().id)\n"
        "        ids.append(group(task.s() for _ in range(3)).apply_async().id)\n"
        "        raise KeyError\n"
        "except KeyError:\n"
        "    pass\n"
        "with transaction.atomic():\n"
        "    try:\n"
        "        with transaction.atomic():\n"
        "            ids.append(task.delay().id)\n"
        "            raise KeyError\n"
        "    except KeyError:\n"
        "        pass\n"
        "    kept = task.delay()\n"
        "kept.get(timeout=20)\n"
        "print(json.dumps([*ids, kept.id]))",
    )

    *rolled_back, kept = answer
    started = {line["task_id"] for line in _worker_lines(running) if line.get("message") == "task started"}
    assert kept in started
    assert not started & set(rolled_back)
    assert running.query("SELECT count(*) FROM outbox_outboxmessage WHERE task_id = ANY(%s)", rolled_back) == [(0,)]


def test_canvas_inside_a_transaction_keeps_its_meaning(running: Any) -> None:
    answer = _run(
        running,
        "task = current_app.tasks['engine.debug_task']\n"
        "with transaction.atomic():\n"
        "    parts = group(task.si() for _ in range(25)).apply_async()\n"
        "    steps = chain(task.si(), task.si(), task.si()).apply_async()\n"
        "    whole = chord([task.si() for _ in range(5)], task.si()).apply_async()\n"
        "print(json.dumps([len(parts.get(timeout=30)), steps.get(timeout=30)['attempt'], whole.get(timeout=30)['attempt']]))",
    )

    assert answer == [25, 1, 1]


def test_a_job_that_expired_before_its_run_is_recorded_as_revoked(running: Any) -> None:
    answer = _run(
        running,
        "from celery.exceptions import TaskRevokedError\n"
        "late = current_app.tasks['engine.debug_task'].apply_async(countdown=2, expires=0.5)\n"
        "try:\n"
        "    late.get(timeout=20)\n"
        "except TaskRevokedError as error:\n"
        "    print(json.dumps([late.id, late.state, str(error)]))",
    )

    assert answer[1:] == ["REVOKED", "expired"]
    assert answer[0] not in {line["task_id"] for line in _worker_lines(running) if line.get("message") == "task started"}


def test_the_outbox_sends_ten_messages_a_request_and_forgets_them(stack: Any) -> None:
    _run(
        stack,
        "with transaction.atomic():\n    for _ in range(25):\n        current_app.tasks['engine.debug_task'].delay()\nprint(0)",
    )

    eventually(lambda: stack.depth("default"), (25, 0))
    assert stack.query("SELECT count(*) FROM outbox_outboxmessage") == [(0,)]


def test_what_a_message_holds_of_its_arguments_is_its_body_only(stack: Any) -> None:
    _run(stack, "current_app.send_task('engine.debug_task', kwargs={'secret': 'swordfish'})\nprint(0)")

    (message,) = eventually(lambda: stack.sqs.receive_message(QueueUrl=stack.queue_url("default")).get("Messages"))
    envelope = json.loads(message["Body"])
    assert "swordfish" in envelope["body"]
    assert "swordfish" not in json.dumps(envelope["headers"])


def test_a_message_that_sqs_refuses_stays_with_its_reason_while_its_neighbours_are_sent(stack: Any) -> None:
    _run(
        stack,
        "with transaction.atomic():\n"
        "    current_app.send_task('engine.debug_task')\n"
        "    attributes = {f'a{n}': {'DataType': 'String', 'StringValue': 'x'} for n in range(11)}\n"
        "    current_app.send_task('engine.debug_task', message_attributes=attributes)\n"
        "    current_app.send_task('engine.debug_task')\n"
        "print(0)",
    )

    eventually(lambda: stack.depth("default"), (2, 0))
    ((attempts, error),) = eventually(lambda: stack.query("SELECT attempts, last_error FROM outbox_outboxmessage WHERE attempts > 0"))
    assert attempts == 1
    assert error


def test_a_row_that_can_never_be_sent_holds_up_no_other(stack: Any) -> None:
    _run(
        stack,
        "from app.engine.outbox.background import background_relay\nbackground_relay.wake = lambda: None\n"
        "with transaction.atomic():\n    [current_app.tasks['engine.debug_task'].delay() for _ in range(3)]\nprint(0)",
    )
    stack.query("UPDATE outbox_outboxmessage SET queue = 'a-queue-of-last-year' WHERE id = (SELECT min(id) FROM outbox_outboxmessage)")

    (relay,) = stack.start("outbox-relay")

    eventually(lambda: stack.depth("default"), (2, 0))
    ((error,),) = eventually(lambda: stack.query("SELECT last_error FROM outbox_outboxmessage WHERE attempts > 0"))
    assert "a-queue-of-last-year" in error
    assert relay.is_running


def test_the_ledger_knows_the_latest_tasks_with_their_outcome(running: Any) -> None:
    answer = _run(
        running,
        "from app.engine.conf import engine_settings\n"
        "from app.engine.ledger.search import latest_tasks\n"
        "r = current_app.tasks['engine.debug_task'].delay(); r.get(timeout=20)\n"
        "bad = current_app.send_task('engine.debug_task', args=[1, 2, 3])\n"
        "try:\n"
        "    bad.get(timeout=20)\n"
        "except TypeError:\n"
        "    pass\n"
        "print(json.dumps([[t.id == i, t.task, t.queue, t.state, t.attempts, t.error.split(':')[0]] "
        "for t, i in zip(latest_tasks(engine_settings(), 2), [bad.id, r.id])]))",
    )

    assert answer == [
        [True, "engine.debug_task", "default", "FAILURE", 1, "TypeError"],
        [True, "engine.debug_task", "default", "SUCCESS", 1, ""],
    ]


def test_jobs_are_replayed_in_the_simulator_of_scaling_as_they_came(running: Any, tmp_path: Path) -> None:
    _run(
        running,
        "task = current_app.tasks['engine.debug_task']\n"
        "sent = [task.delay(), task.apply_async(countdown=3)]\n"
        "print(json.dumps([result.get(timeout=20)['id'] for result in sent]))",
    )

    def written() -> list[str]:
        found: list[str] = running.manage("arrivals", "default", "--since", "00:10:00").stdout.splitlines()
        return found

    rows = eventually(written, lambda lines: len(lines) > 2, within=10)
    moments = sorted((float(row.split(",")[0]) for row in rows[1:]), reverse=True)
    assert moments[0] - moments[1] > 2.5, "the one that was not yet due came three seconds later"
    (tmp_path / "jobs.csv").write_text("\n".join(rows))
    like = TRACES["rare"](random.Random(0))  # noqa: S311 — not for secrets
    assert replayed(tmp_path / "jobs.csv", like).purpose.startswith(f"{len(rows) - 1} jobs")


def test_every_result_expires(running: Any) -> None:
    _run(
        running,
        "task = current_app.tasks['engine.debug_task']\nchord([task.si() for _ in range(3)], task.si()).apply_async().get(timeout=30)\nprint(0)",
    )

    items = running.dynamodb.scan(TableName=running.table("ledger"))["Items"]
    assert items
    assert all("ttl" in item for item in items)


def test_a_run_is_two_json_lines_and_a_metric_without_arguments(running: Any) -> None:
    identifier = _run(running, "r = current_app.tasks['engine.debug_task'].delay()\nr.get(timeout=20)\nprint(json.dumps(r.id))")

    def lines_of_the_run() -> list[dict[str, Any]]:
        return [line for line in _worker_lines(running) if line.get("task_id") == identifier]

    lines = eventually(lines_of_the_run, lambda found: any(line["message"] == "task ended" for line in found))
    started, ended = (next(line for line in lines if line["message"] == message) for message in ("task started", "task ended"))
    for line in (started, ended):
        assert {"task_id", "task", "queue", "attempt", "service", "release", "at", "level"} <= set(line)
    assert ended["outcome"] == "success"
    assert ended["duration_ms"] >= 0
    everything = _worker_lines(running)
    assert any(line.get("TaskRuns") == [1.0] and line["Task"] == "engine.debug_task" for line in everything)
    assert any("TaskQueueWait" in line for line in everything)


def test_beat_installs_the_declared_schedule_and_an_edit_takes_effect_without_a_restart(running: Any) -> None:
    def runs() -> int:
        return sum(line.get("task") == "payments.resume_unfinished" and line["message"] == "task ended" for line in _worker_lines(running))

    eventually(
        lambda: running.query("SELECT count(*) FROM django_celery_beat_periodictask WHERE name = 'payments.resume_unfinished'"),
        [(1,)],
        within=20,
    )
    before = runs()
    running.query("UPDATE django_celery_beat_intervalschedule SET every = 1, period = 'seconds'")
    running.query("UPDATE django_celery_beat_periodictasks SET last_update = now()")

    eventually(runs, lambda count: count >= before + 3, within=30)


def test_what_beat_sent_is_known_by_its_id(running: Any) -> None:
    running.query("UPDATE django_celery_beat_intervalschedule SET every = 1, period = 'seconds'")
    running.query("UPDATE django_celery_beat_periodictasks SET last_update = now()")
    latest = "SELECT task_id FROM schedules_occurrence WHERE outcome = 'sent' AND schedule = 'payments.resume_unfinished' ORDER BY due_at DESC LIMIT 1"
    ((task_id,),) = eventually(lambda: running.query(latest), within=30)

    told = eventually(lambda: running.request("GET", f"/api/jobs/{task_id}").body, lambda body: body["state"] == "succeeded", within=20)
    assert told["task"] == "payments.resume_unfinished"
    assert told["enqueued_at"] < told["started_at"]
