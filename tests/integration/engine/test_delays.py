"""Jobs that are due later than SQS could hold their messages: on time, once, listed, cancelled."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from celery import chord, current_app
from celery.exceptions import Retry
from celery.result import AsyncResult
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, connections, transaction
from django.utils import timezone

from app.engine.aws.provision import provision
from app.engine.conf import engine_settings
from app.engine.outbox.delayed import cancel, delayed_jobs
from app.engine.outbox.lag import OutboxLag, read_outbox_lag
from app.engine.outbox.models import OutboxMessage
from app.engine.outbox.relay import relay_once
from app.topology import TOPOLOGY
from tests.support.eventually import eventually

# -- in a deployment where SQS holds a message for two seconds only -----------------------------------------------------

#: The worker service, and in it a task that asks for a late retry in a transaction, which therefore rolls back.
_WORKER = """
from celery import shared_task
from django.db import transaction
from app.config.celery import celery_app

@shared_task(name="engine.try_later", bind=True)
def try_later(self):
    if not self.request.retries:
        with transaction.atomic():
            raise self.retry(countdown=4)

celery_app.worker_main(["worker", "--queues", "default", "--concurrency", "2", "--loglevel", "INFO"])
"""

_PUBLISH = """
import json
from datetime import UTC, datetime, timedelta
from celery import chain, current_app, group
from django.db import transaction
task = current_app.tasks["engine.debug_task"]
now = datetime.now(UTC)
"""


@pytest.fixture(scope="module")
def deployment(_make_stack: Callable[[Path], Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    deployment = _make_stack(tmp_path_factory.mktemp("delays"))
    deployment.environment["SQS_LONGEST_DELAY_SECONDS"] = "2"
    # SQS may deliver twice and lose an answer for reasons of its own; these tests are about our delays.
    deployment.network.habits(duplicates=0, lost_receives=0)
    # Shorter than most delays below: a message that a worker held until it is due would come twice.
    deployment.shorten_visibility("default", 5)
    deployment.start("outbox-relay")
    deployment.start_program("worker-default", _WORKER)
    yield deployment
    deployment.stop()


def _publish(deployment: Any, code: str) -> dict[str, str]:
    """The task ids that the code leaves in ``ids``, by what they are called."""
    done = deployment.python(_PUBLISH + code + "\nprint(json.dumps(ids))")
    assert done.returncode == 0, done.stderr
    ids: dict[str, str] = json.loads(done.stdout.strip().splitlines()[-1])
    return ids


def _running(deployment: Any, name: str) -> Any:
    return next(service for service in deployment.services if service.name == name and service.is_running)


def _starts(deployment: Any, task_id: str) -> list[datetime]:
    """When runs of the job began, in any worker."""
    return [
        datetime.fromisoformat(line["at"])
        for service in deployment.services
        for line in service.lines()
        if line.get("message") == "task started" and line.get("task_id") == task_id
    ]


def _await_starts(deployment: Any, ids: dict[str, str]) -> dict[str, datetime]:
    """When each job began, after the time in which a twin of it would begin, too."""
    for task_id in ids.values():
        eventually(lambda wanted=task_id: _starts(deployment, wanted), within=40)  # type: ignore[misc]
    seen = time.monotonic()
    eventually(lambda: time.monotonic() - seen > 2.5)
    starts = {called: _starts(deployment, task_id) for called, task_id in ids.items()}
    assert {called: len(found) for called, found in starts.items()} == dict.fromkeys(ids, 1)
    return {called: found[0] for called, found in starts.items()}


def _waiting(deployment: Any) -> dict[str, datetime]:
    rows: list[tuple[str, datetime]] = deployment.query("SELECT task_id, due_at FROM outbox_outboxmessage")
    return dict(rows)


def _assert_on_time(starts: dict[str, datetime], due: datetime) -> None:
    late = {called: (start - due).total_seconds() for called, start in starts.items()}
    assert all(0 <= seconds <= 8 for seconds in late.values()), late
    # The promise, for the first: two other tests have this machine, too, and each start takes its moment.
    assert min(late.values()) <= 2, late


def test_a_job_that_is_due_far_off_starts_once_on_time_however_it_was_published(deployment: Any) -> None:
    ids = _publish(
        deployment,
        "due = now + timedelta(seconds=8)\n"
        "ids = {'aware': task.apply_async(eta=due).id, 'naive': task.apply_async(eta=due.replace(tzinfo=None)).id}\n"
        "with transaction.atomic():\n"
        "    ids['committed'] = task.apply_async(eta=due).id\n"
        "    parts = group(task.si(), task.si()).apply_async(eta=due)\n"
        "ids['part'], ids['other part'] = [part.id for part in parts]\n"
        "ids['step'] = chain(task.si(), task.si()).apply_async(eta=due).parent.id\n"
        "try:\n"
        "    with transaction.atomic():\n"
        "        task.apply_async(eta=due, task_id='rolled-back')\n"
        "        raise KeyError\n"
        "except KeyError:\n"
        "    pass\n",
    )
    waiting = _waiting(deployment)
    (due,) = set(waiting.values())

    starts = _await_starts(deployment, ids)

    assert waiting.keys() == set(ids.values())
    _assert_on_time(starts, due)
    assert _starts(deployment, "rolled-back") == []


@pytest.mark.long
def test_a_killed_relay_and_a_restarted_worker_neither_double_nor_lose_a_delayed_job_and_a_cancelled_one_never_runs(
    deployment: Any,
) -> None:
    ids = _publish(deployment, "ids = {str(number): task.apply_async(eta=now + timedelta(seconds=10)).id for number in range(6)}")
    _running(deployment, "outbox-relay").kill()
    due = max(_waiting(deployment).values())
    cancelled = ids.pop("0")

    said = deployment.manage("delayed", "--cancel", cancelled)
    _running(deployment, "worker-default").stop()
    deployment.start("outbox-relay")
    deployment.start_program("worker-default", _WORKER)

    assert said.returncode == 0, said.stderr
    assert min(_await_starts(deployment, ids).values()) >= due
    assert _starts(deployment, cancelled) == []
    assert _state(deployment, cancelled) == "REVOKED"


def _state(deployment: Any, task_id: str) -> str:
    item = deployment.dynamodb.get_item(TableName=deployment.table("ledger"), Key={"id": {"S": f"celery-task-meta-{task_id}"}})["Item"]
    state: str = item["state"]["S"]
    return state


def test_a_late_retry_outlives_the_rolled_back_transaction_of_the_run_that_asked_for_it(deployment: Any) -> None:
    ids = _publish(deployment, "ids = {'job': current_app.send_task('engine.try_later').id}")

    first, second = eventually(lambda: _starts(deployment, ids["job"]), lambda starts: len(starts) == 2, within=40)

    assert timedelta(seconds=4) <= second - first <= timedelta(seconds=6.5)


# -- in this process, where nothing is sent -------------------------------------------------------------------------------


@pytest.fixture
def publish(transactional_db: None) -> Callable[..., str]:
    """Publish a debug task and return its id."""

    def publish(**options: Any) -> str:
        return str(current_app.tasks["engine.debug_task"].apply_async(**options).id)

    return publish


@pytest.fixture
def ledger(aws: str) -> None:
    settings = engine_settings()
    provision(TOPOLOGY, name_prefix=settings.name_prefix, region=settings.region, endpoint_url=aws)


def _manage(*arguments: str) -> str:
    out = StringIO()
    call_command("delayed", *arguments, stdout=out)
    return out.getvalue()


def test_the_soonest_is_listed_first(publish: Callable[..., str]) -> None:
    late, soon = publish(countdown=7200), publish(countdown=3600)
    in_between = datetime.now(UTC) + timedelta(seconds=5000)

    assert [(job.task_id, job.task, job.queue) for job in delayed_jobs()] == [
        (soon, "engine.debug_task", "default"),
        (late, "engine.debug_task", "default"),
    ]
    assert [job.task_id for job in delayed_jobs(limit=1)] == [soon]
    assert [job.task_id for job in delayed_jobs(before=in_between)] == [soon]


def test_what_is_not_due_is_not_late_and_what_is_due_and_unsent_is(publish: Callable[..., str]) -> None:
    publish(countdown=3600)
    (job,) = delayed_jobs()

    assert read_outbox_lag(timezone.now()) == OutboxLag(waiting=0, oldest=None, failing=0, delayed=1)
    later = timedelta(seconds=90)
    assert read_outbox_lag(job.due_at + later) == OutboxLag(waiting=1, oldest=later, failing=0, delayed=0)


def test_a_message_without_a_due_time_counts_as_before(publish: Callable[..., str]) -> None:
    publish(countdown=3600)
    OutboxMessage.objects.create(task_id="1", task="engine.debug_task", queue="default", body="", options="{}", attempts=1)

    lag = read_outbox_lag(timezone.now())

    assert (lag.waiting, lag.failing, lag.delayed) == (1, 1, 1)
    assert lag.oldest is not None


def test_the_relay_leaves_a_delayed_message_alone_until_shortly_before_it_is_due(publish: Callable[..., str]) -> None:
    publish(countdown=3600)

    ((due_at, leaves_at),) = OutboxMessage.objects.values_list("due_at", "next_attempt_at")

    assert relay_once().taken == 0
    assert due_at is not None
    assert due_at - leaves_at == timedelta(seconds=30)


def test_a_cancelled_job_is_gone_and_the_ledger_says_so(publish: Callable[..., str], ledger: None) -> None:
    kept, cancelled = publish(countdown=3600), publish(countdown=3600)

    answers = [cancel(cancelled), cancel(cancelled), cancel("never-published")]

    assert answers == [True, False, False]
    assert [job.task_id for job in delayed_jobs()] == [kept]
    assert AsyncResult(cancelled).state == "REVOKED"
    assert AsyncResult(kept).state == "PENDING"


def test_a_chord_whose_part_is_cancelled_fails_instead_of_waiting_for_ever(publish: Callable[..., str], ledger: None) -> None:
    task = current_app.tasks["engine.debug_task"]
    whole = chord([task.si()], task.si()).apply_async(countdown=3600)
    ((part,),) = OutboxMessage.objects.values_list("task_id")

    assert cancel(part)

    assert whole.state == "FAILURE"


def test_a_cancellation_counts_when_its_transaction_commits(publish: Callable[..., str], ledger: None) -> None:
    task_id = publish(countdown=3600)

    with transaction.atomic():
        assert cancel(task_id)
        transaction.set_rollback(True)

    assert [job.task_id for job in delayed_jobs()] == [task_id]
    assert AsyncResult(task_id).state == "PENDING"


def test_a_message_that_is_not_delayed_cannot_be_cancelled(publish: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.engine.outbox.background.background_relay.wake", lambda: None)
    with transaction.atomic():
        task_id = publish(countdown=60)

    assert not cancel(task_id)
    assert OutboxMessage.objects.count() == 1


@contextmanager
def _cancelling_while_a_relay_holds_the_row(task_id: str) -> Iterator[Future[bool]]:
    """The body is the relay, in its transaction; the cancellation waits for it."""

    def cancelling() -> bool:
        try:
            return cancel(task_id)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as thread, transaction.atomic():
        assert list(OutboxMessage.objects.select_for_update(skip_locked=True).filter(task_id=task_id))
        answer = thread.submit(cancelling)
        eventually(_somebody_waits_for_a_lock)
        assert not answer.done()
        yield answer


def _somebody_waits_for_a_lock() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
        return bool(cursor.fetchone()[0])


def test_a_job_that_a_relay_is_just_sending_is_not_said_to_be_cancelled(publish: Callable[..., str]) -> None:
    task_id = publish(countdown=3600)

    with _cancelling_while_a_relay_holds_the_row(task_id) as answer:
        OutboxMessage.objects.filter(task_id=task_id).delete()

    assert answer.result(5) is False


def test_a_job_that_a_relay_could_not_send_is_cancelled(publish: Callable[..., str], ledger: None) -> None:
    task_id = publish(countdown=3600)

    with _cancelling_while_a_relay_holds_the_row(task_id) as answer:
        OutboxMessage.objects.filter(task_id=task_id).update(attempts=1, last_error="refused")

    assert answer.result(5) is True
    assert delayed_jobs() == []


def test_a_relay_passes_over_a_job_that_is_being_cancelled(publish: Callable[..., str], ledger: None) -> None:
    task_id = publish(countdown=3600)
    OutboxMessage.objects.update(next_attempt_at=timezone.now())
    taken = []

    def relay() -> None:
        taken.append(relay_once().taken)
        connections.close_all()

    with transaction.atomic():
        assert cancel(task_id)
        thread = threading.Thread(target=relay)
        thread.start()
        thread.join(5)

    assert taken == [0]
    assert AsyncResult(task_id).state == "REVOKED"


def test_a_late_retry_is_there_although_its_transaction_is_broken_and_rolled_back(transactional_db: None) -> None:
    task = current_app.tasks["engine.debug_task"]
    task.push_request(id="tried", retries=0, called_directly=False, is_eager=False, delivery_info={}, args=(), kwargs={})
    try:
        with transaction.atomic():
            with pytest.raises(DatabaseError):
                OutboxMessage.objects.raw("SELECT no_such_column")[0]
            with pytest.raises(Retry):
                task.retry(countdown=3600)
            transaction.set_rollback(True)
    finally:
        task.pop_request()

    assert [job.task_id for job in delayed_jobs()] == ["tried"]


def test_the_command_lists_and_cancels_in_clear_words(publish: Callable[..., str], ledger: None) -> None:
    assert _manage() == "No job is delayed.\n"
    task_id = publish(countdown=3600)

    assert "engine.debug_task (default)" in _manage()
    assert task_id in _manage("--limit", "1")
    assert _manage("--cancel", task_id) == f"{task_id} is cancelled and will not run.\n"
    with pytest.raises(
        CommandError, match=f"No delayed job has the id '{task_id}': it was sent .*, it was cancelled, or there never was one"
    ):
        _manage("--cancel", task_id)
