"""A run that failed for good takes its message to the dead letters with its cause; any other end leaves no cause."""

import pickle
import sys
from types import SimpleNamespace
from typing import Any

import pytest
from billiard.einfo import ExceptionInfo, ExceptionWithTraceback
from billiard.exceptions import Terminated, TimeLimitExceeded, WorkerLostError
from celery import current_app
from celery.exceptions import Ignore, Reject, Retry

from app.engine.broker.dead_letters import Cause
from app.engine.broker.put_off import PutOff
from app.engine.broker.request import Request
from tests.unit.engine.conftest import DefineTask


class Backend:
    """A store that takes everything and has nothing."""

    def __getattr__(self, _name: str) -> Any:
        return lambda *_args, **_options: None


def raised(error: BaseException) -> ExceptionInfo:
    def run() -> None:
        raise error

    try:
        run()
    except BaseException:  # noqa: BLE001 — every kind
        return ExceptionInfo(sys.exc_info())
    raise AssertionError("it was not raised")


def from_child(error: BaseException) -> ExceptionInfo:
    """Pickled on its way: of its traceback nothing but the text is left."""
    info = raised(error)
    info.exception = ExceptionWithTraceback(error.with_traceback(None), info.traceback)
    return info


class Run:
    """A run of a job whose message came from our channel, and what Celery tells that channel."""

    def __init__(self, task: Any, *, retries: Any = 2, channel: Any = None) -> None:
        self.told: list[str] = []
        self.causes: list[Cause] = []
        channel = channel or SimpleNamespace(note_cause=self._note)
        message = SimpleNamespace(
            channel=channel,
            delivery_tag="tag",
            delivery_info={},
            properties={},
            headers={"id": "id", "task": task.name, "retries": retries},
        )
        self.request = Request(
            message,
            app=current_app,
            task=task,
            body=([], {}, {}),
            decoded=True,
            on_ack=lambda *_: self.told.append("acknowledge"),
            on_reject=lambda _logger, _errors, requeue: self.told.append("give back" if requeue else "refuse"),
        )

    def _note(self, tag: str, cause: Cause) -> None:
        assert tag == "tag"
        # Before Celery settles the message: afterwards nobody would read it.
        assert self.told == []
        self.causes.append(cause)

    def fail(self, error: BaseException, *, in_child: bool = False, return_ok: bool = True) -> None:
        self.request.on_failure(from_child(error) if in_child else raised(error), return_ok=return_ok)


@pytest.fixture
def task(define_task: DefineTask) -> Any:
    task = define_task("letters.write", acks_late=True, reject_on_worker_lost=True, acks_on_failure=False, acks_on_timeout=True)
    task.backend = Backend()
    return task


@pytest.mark.parametrize("in_child", [False, True], ids=["in this process", "in a child"])
def test_a_failure_is_refused_with_its_cause(task: Any, in_child: bool) -> None:
    run = Run(task)

    run.fail(KeyError("order"), in_child=in_child)

    assert run.told == ["refuse"]
    (cause,) = run.causes
    assert (cause.reason, cause.exception, cause.message, cause.task) == ("failed", "KeyError", "'order'", "letters.write")
    assert cause.attempts == 3
    assert cause.fingerprint


def test_where_a_failure_happened_tells_it_from_others(task: Any) -> None:
    here, elsewhere = Run(task), Run(task)
    here.fail(ValueError("no"), in_child=True)

    def raise_elsewhere() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no") as caught:
        raise_elsewhere()
    info = ExceptionInfo((caught.type, caught.value, caught.tb))
    info.exception = ExceptionWithTraceback(caught.value.with_traceback(None), info.traceback)
    elsewhere.request.on_failure(info, return_ok=True)

    assert here.causes[0].fingerprint != elsewhere.causes[0].fingerprint


@pytest.mark.parametrize(("retries", "attempts"), [(None, 1), (0, 1), (4, 5)])
def test_attempts_are_counted_from_one(task: Any, retries: Any, attempts: int) -> None:
    run = Run(task, retries=retries)

    run.fail(ValueError("no"))

    assert run.causes[0].attempts == attempts


def test_a_rejected_message_is_refused_with_the_reason_that_the_task_gave(task: Any) -> None:
    run = Run(task)

    run.fail(Reject("not for us" + "!" * 2000, requeue=False))

    assert run.told == ["refuse"]
    (cause,) = run.causes
    assert (cause.reason, cause.message[:11], len(cause.message), cause.attempts) == ("rejected", "not for us!", 1000, 3)


def test_a_message_that_the_task_gives_back_has_no_cause(task: Any) -> None:
    run = Run(task)

    run.fail(Reject("later", requeue=True))

    assert (run.told, run.causes) == (["give back"], [])


@pytest.mark.parametrize("error", [Ignore(), Retry("later", ValueError("no"), 3)], ids=["ignored", "retried"])
def test_what_celery_acknowledges_has_no_cause(task: Any, error: Exception) -> None:
    run = Run(task)

    run.fail(error)

    assert (run.told, run.causes) == (["acknowledge"], [])


@pytest.mark.parametrize("error", [WorkerLostError("signal 9"), SystemExit(1)], ids=["killed", "exited"])
def test_a_run_whose_process_was_lost_is_given_back_without_a_cause(task: Any, error: BaseException) -> None:
    run = Run(task)

    run.fail(error)

    assert (run.told, run.causes) == (["give back"], [])


def test_a_run_that_was_terminated_is_acknowledged_without_a_cause(task: Any) -> None:
    run = Run(task)

    run.fail(Terminated(15))

    assert (run.told, run.causes) == (["acknowledge"], [])


@pytest.mark.parametrize("safe", [False, True])
def test_what_is_told_of_a_job_is_without_its_arguments(task: Any, safe: bool) -> None:
    request = Run(task).request
    request._args = request._argsrepr = ["a secret"]
    request._kwargs = request._kwargsrepr = {"password": "a secret"}

    told = request.info(safe=safe)

    assert told["id"] == "id"
    assert "a secret" not in str(told)


@pytest.mark.parametrize("acks_on_timeout", [True, False])
def test_a_run_that_its_hard_limit_killed_is_refused_whichever_way_celery_hears_of_it_first(task: Any, acks_on_timeout: bool) -> None:
    task.acks_on_timeout = acks_on_timeout
    prefork, threads = Run(task), Run(task)

    prefork.fail(TimeLimitExceeded(30))
    prefork.request.on_timeout(False, 30)
    threads.request.on_timeout(False, 30)

    expected = "refuse" if acks_on_timeout else "give back"
    for run in (prefork, threads):
        assert run.told == [expected]
        assert [(cause.exception, cause.message) for cause in run.causes] == [
            ("billiard.exceptions.TimeLimitExceeded", "killed after 30 s")
        ]


def test_the_soft_limit_is_the_run_s_own_business(task: Any) -> None:
    run = Run(task)

    run.request.on_timeout(True, 10)
    run.request.acknowledge()

    assert (run.told, run.causes) == (["acknowledge"], [])


def test_another_transport_s_channel_is_told_nothing(task: Any) -> None:
    run = Run(task, channel=SimpleNamespace())

    run.fail(ValueError("no"))

    assert run.told == ["refuse"]


class Program:
    """Our application, as far as a request knows it."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, Any]] = []

    def when_put_off(self, error: PutOff, channel: Any) -> None:
        self.heard.append((error.obstacle, channel))


def test_a_run_that_was_put_off_tells_the_channel_and_the_program_before_its_slot_is_free(task: Any) -> None:
    noted: list[tuple[str, str, list[str]]] = []
    channel = SimpleNamespace()
    run = Run(task, channel=channel)
    channel.note_put_off = lambda tag, error: noted.append((tag, error.obstacle, list(run.told)))
    program: Any = Program()
    task.app = program

    run.fail(pickle.loads(pickle.dumps(PutOff("database", "refused"))), in_child=True)  # noqa: S301 — as the pool does

    assert noted == [("tag", "database", [])]
    assert program.heard == [("database", channel)]
    assert (run.told, run.causes) == (["give back"], [])


def test_another_transport_gives_a_put_off_message_back(task: Any) -> None:
    run = Run(task, channel=SimpleNamespace())

    run.fail(PutOff("database", "refused"))

    assert run.told == ["give back"]
