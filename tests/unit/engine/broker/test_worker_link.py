"""What is known of the Celery worker, and what it is told."""

import sys
import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from celery import current_app, signals

from app.engine.broker import worker_link as module
from app.engine.broker.worker_link import OVERDUE_SECONDS, WorkerLink
from tests.support.eventually import eventually
from tests.unit.engine.broker.fake_sqs import received


class Backend:
    def __init__(self) -> None:
        self.failures: list[tuple[str, Exception, Any]] = []
        self.is_there = threading.Event()
        self.is_there.set()

    def mark_as_failure(self, task_id: str, error: Exception, *, request: Any) -> None:
        assert self.is_there.wait(30)
        if task_id == "unwelcome":
            raise ValueError("no")
        self.failures.append((task_id, error, request))

    def ids(self) -> list[str]:
        return [task_id for task_id, _, _ in self.failures]


class Consumer:
    hostname = "w@host"
    pool = SimpleNamespace(num_processes=3)

    def __init__(self, backend: Backend) -> None:
        self.app = SimpleNamespace(backend=backend, tasks={"a": 1})


class Worker:
    """Celery's side: it sends the signals."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.backend = Backend()
        self.consumer = Consumer(self.backend)
        self.link = WorkerLink(on_stop=lambda: self.told.append("stop"), on_ready=lambda: self.told.append("ready"))
        self.link.connect()

    def ready(self) -> None:
        signals.worker_ready.send(sender=self.consumer)

    def refuse(self, task_id: str) -> None:
        one = received("m", queue="emails")
        one.task, one.task_id = "mailings.send", task_id
        self.link.record_failure(one, TypeError("no"))


@pytest.fixture
def worker() -> Iterator[Worker]:
    worker = Worker()
    yield worker
    worker.backend.is_there.set()
    worker.link.disconnect()


def test_before_a_worker_is_ready_nothing_is_known_of_it(worker: Worker) -> None:
    assert worker.link.slots() is None
    worker.refuse("id")
    assert worker.backend.failures == []


def test_a_worker_that_was_ready_before_it_consumed_is_known_as_well(worker: Worker) -> None:
    """Told to wait before it consumes, or with its connection made anew: it says only once that it is ready."""
    worker.ready()
    told: list[str] = []
    link = WorkerLink(on_stop=lambda: told.append("stop"), on_ready=lambda: told.append("ready"))
    link.connect()

    assert (link.slots(), link.tasks(), told) == (3, {"a": 1}, ["ready"])
    link.disconnect()


def test_a_worker_that_is_ready_says_how_much_it_can_run_and_what(worker: Worker) -> None:
    worker.ready()

    assert worker.told == ["ready"]
    assert worker.link.slots() == 3
    assert worker.link.tasks() == {"a": 1}


def test_a_program_without_a_worker_is_asked_for_no_tasks(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "celery.worker.state", SimpleNamespace())
    assert worker.link.tasks() is current_app.tasks

    monkeypatch.delitem(sys.modules, "celery.worker.state")
    assert worker.link.tasks() is None
    assert not worker.link.is_overdue(received("m"))


@pytest.mark.parametrize(("how", "is_urgent"), [("Warm", False), ("Cold", True), ("Soft", True)])
def test_a_worker_that_stops_says_so_and_how_soon(worker: Worker, how: str, is_urgent: bool) -> None:
    signals.worker_shutting_down.send(sender="w@host", sig="SIGTERM", how=how, exitcode=0)

    assert worker.told == ["stop"]
    assert worker.link.is_urgent is is_urgent


def test_after_the_end_nothing_is_heard_and_another_channel_s_link_still_hears(worker: Worker) -> None:
    other = Worker()
    worker.link.disconnect()

    worker.ready()

    assert (worker.told, other.told) == ([], ["ready"])
    other.link.disconnect()


# -- failures of jobs that never ran ------------------------------------------------------------------------------------------


def test_whoever_waits_for_a_refused_job_is_told(worker: Worker) -> None:
    worker.ready()

    worker.refuse("id")

    eventually(worker.backend.ids, ["id"])
    ((_, error, request),) = worker.backend.failures
    assert isinstance(error, TypeError)
    assert (request.task, request.hostname, request.retries) == ("mailings.send", "w@host", 0)
    assert request.delivery_info["routing_key"] == "emails"


def test_a_message_without_an_id_has_nobody_who_waits(worker: Worker) -> None:
    worker.ready()

    worker.refuse("")
    worker.refuse("id")

    eventually(worker.backend.ids, ["id"])


def test_a_failure_that_cannot_be_stored_does_not_keep_the_next_from_it(worker: Worker, caplog: pytest.LogCaptureFixture) -> None:
    worker.ready()

    worker.refuse("unwelcome")
    worker.refuse("id")

    eventually(worker.backend.ids, ["id"])
    assert "refused job not recorded" in caplog.messages


def test_a_store_that_is_away_keeps_neither_the_receiver_waiting_nor_the_worker_alive_nor_everything_in_memory(
    worker: Worker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "MOST_UNRECORDED", 3)
    away = Worker()
    away.ready()
    away.backend.is_there.clear()

    for number in range(10):
        away.refuse(f"id{number}")

    (recorder,) = [thread for thread in threading.enumerate() if thread.name == "sqs-refused"]
    assert recorder.daemon
    assert 6 <= caplog.messages.count("refused job not recorded: the store is behind") <= 7
    away.backend.is_there.set()
    eventually(lambda: len(away.backend.failures), lambda stored: stored in (3, 4))
    away.link.disconnect()
    recorder.join(5)
    assert not recorder.is_alive()


def test_a_job_that_is_refused_after_the_end_is_no_error(worker: Worker) -> None:
    worker.ready()
    worker.refuse("before")
    eventually(worker.backend.ids, ["before"])

    worker.link.disconnect()
    worker.refuse("after")


# -- runs that should be over ----------------------------------------------------------------------------------------------------


def run(*, started: float | None, limits: tuple[float | None, float | None] = (None, None), task_limit: float | None = None) -> Any:
    return SimpleNamespace(
        message=SimpleNamespace(delivery_tag="m#1"),
        time_start=started,
        time_limits=limits,
        task=SimpleNamespace(time_limit=task_limit),
    )


@pytest.mark.parametrize(
    ("for_seconds", "limits", "task_limit", "is_overdue"),
    [
        (OVERDUE_SECONDS + 11, (10, None), None, True),
        (OVERDUE_SECONDS + 9, (10, None), None, False),
        (OVERDUE_SECONDS + 11, (None, None), 10, True),
        (OVERDUE_SECONDS + 11, (100, None), 10, False),
        (OVERDUE_SECONDS + 10**6, (None, None), None, False),
    ],
    ids=["sender's limit", "within it", "task's limit", "the sender's counts", "no limit"],
)
def test_a_run_is_overdue_a_minute_after_its_hard_limit(
    worker: Worker,
    monkeypatch: pytest.MonkeyPatch,
    for_seconds: float,
    limits: tuple[float | None, float | None],
    task_limit: float | None,
    is_overdue: bool,
) -> None:
    request = run(started=time.time() - for_seconds, limits=limits, task_limit=task_limit)
    monkeypatch.setitem(sys.modules, "celery.worker.state", SimpleNamespace(requests={"id": request}))
    one = received("m")
    one.task_id = "id"

    assert worker.link.is_overdue(one) is is_overdue


def test_another_delivery_of_the_job_and_one_that_has_not_begun_are_not_overdue(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = received("m"), received("other")
    one.task_id = other.task_id = "id"
    requests = {"id": run(started=1.0, limits=(10, None))}
    monkeypatch.setitem(sys.modules, "celery.worker.state", SimpleNamespace(requests=requests))
    assert worker.link.is_overdue(one)

    assert not worker.link.is_overdue(other)
    requests["id"].time_start = None
    assert not worker.link.is_overdue(one)
    requests.clear()
    assert not worker.link.is_overdue(one)
