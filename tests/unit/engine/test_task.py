"""What a plain ``@shared_task`` gets."""

from datetime import timedelta
from typing import Any

import pytest
from celery import current_app
from celery.exceptions import Reject, Retry
from django.db import OperationalError
from psycopg.errors import DeadlockDetected, UniqueViolation

from app.engine.broker.put_off import PutOff
from app.engine.circuit_breaker import CircuitOpen
from app.engine.conf import engine_settings
from app.engine.database import DATABASE
from app.engine.errors import PermanentError, TransientError
from app.engine.task import MOST_TIMES_PUT_OFF, Task
from tests.unit.engine.conftest import DefineTask

REPORTS = engine_settings().topology.queue("reports")


def test_every_task_is_ours() -> None:
    assert isinstance(current_app.tasks["engine.debug_task"], Task)


def test_a_task_has_the_limits_of_its_queue(define_task: DefineTask) -> None:
    task = define_task("reports.write")

    assert task.time_limit == REPORTS.time_limit.total_seconds()
    assert task.soft_time_limit == REPORTS.soft_time_limit.total_seconds()


def test_a_task_may_ask_for_less(define_task: DefineTask) -> None:
    task = define_task("reports.glance", time_limit=60, soft_time_limit=50)

    assert (task.time_limit, task.soft_time_limit) == (60, 50)


def test_a_task_that_asks_for_less_still_has_time_to_save_its_work(define_task: DefineTask) -> None:
    assert define_task("reports.glance", time_limit=60).soft_time_limit == 54


def test_a_task_without_a_queue_is_left_to_the_system_check(define_task: DefineTask) -> None:
    assert define_task("reprots.write").time_limit is None


def test_what_may_succeed_later_is_tried_again(define_task: DefineTask) -> None:
    def body() -> None:
        raise TransientError("busy")

    result = define_task("reports.write", body, retry_backoff=False).apply(throw=False)

    assert isinstance(result.result, TransientError | Retry)
    assert result.state in {"RETRY", "FAILURE"}


@pytest.mark.parametrize("error", [PermanentError("gone"), ValueError("wrong")])
def test_what_can_never_succeed_is_not_tried_again(define_task: DefineTask, error: Exception) -> None:
    runs: list[int] = []

    def body() -> None:
        runs.append(1)
        raise error

    result = define_task("reports.write", body).apply(throw=False)

    assert result.state == "FAILURE"
    assert runs == [1]


def test_the_pauses_are_those_that_its_docstring_promises() -> None:
    first = Task.retry_backoff
    pauses = [first * 2**retries for retries in range(Task.max_retries)]

    assert Task.retry_jitter is True
    assert "up to {}, {} and {} seconds".format(*pauses) in str(Task.__doc__)
    assert f"never more than {Task.retry_backoff_max}" in str(Task.__doc__)


def test_a_retry_that_cannot_be_sent_gives_the_message_back_instead_of_failing_for_good(
    define_task: DefineTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cannot_send(*_: object, **__: object) -> None:
        raise OSError("SQS is away")

    task = define_task("reports.write")
    monkeypatch.setattr(type(current_app._get_current_object()), "send_task", cannot_send)
    task.push_request(id="1", retries=0, called_directly=False, is_eager=False, delivery_info={}, args=(), kwargs={})
    try:
        with pytest.raises(Reject) as raised:
            task.retry(exc=TransientError("busy"))
    finally:
        task.pop_request()

    assert raised.value.requeue


LOST = OperationalError("the connection is lost")


def run_failing(task: Any, error: Exception, *, times: int | None = 0, retries: int = 0) -> Exception:
    """What a run raises whose message was put off so many times before; ``None``: it did not come from SQS."""
    attributes = {} if not times else {"put_off": {"DataType": "Number", "StringValue": str(times)}}
    delivery = {} if times is None else {"sqs_message": {"MessageAttributes": attributes}}
    request = {"id": "1", "retries": retries, "called_directly": False, "is_eager": False, "args": (error,), "kwargs": {}}
    task.push_request(**request, properties={"delivery_info": delivery}, delivery_info=delivery)
    try:
        task(error)
    except Exception as raised:  # noqa: BLE001 — it is what is asked for
        return raised
    finally:
        task.pop_request()
    raise AssertionError("it did not fail")


def body(error: Exception) -> None:
    raise error


def caused(by: Exception) -> OperationalError:
    error = OperationalError(*by.args)
    error.__cause__ = by
    return error


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The options of what is sent."""
    found: list[dict[str, Any]] = []
    monkeypatch.setattr(type(current_app._get_current_object()), "send_task", lambda *_, **options: found.append(options))
    return found


def test_a_run_that_finds_the_database_away_puts_its_job_off(define_task: DefineTask) -> None:
    raised = run_failing(define_task("reports.write", body), LOST)

    assert isinstance(raised, PutOff)
    assert (raised.obstacle, raised.requeue, raised.__cause__) == (DATABASE, True, LOST)


@pytest.mark.parametrize(
    ("error", "times"),
    [(LOST, MOST_TIMES_PUT_OFF), (LOST, None), (caused(DeadlockDetected("no")), 0)],
    ids=["too often", "no transport of ours", "conflict"],
)
def test_where_putting_off_is_no_answer_it_is_an_attempt(
    define_task: DefineTask, sent: list[dict[str, Any]], error: Exception, times: int | None
) -> None:
    task = define_task("reports.write", body)

    assert isinstance(run_failing(task, error, times=times), Retry)
    assert len(sent) == 1
    assert run_failing(task, error, times=times, retries=task.max_retries) is error


@pytest.mark.parametrize(
    ("error", "options"),
    [
        (caused(UniqueViolation("no")), {}),
        (ValueError("no"), {}),
        (LOST, {"uses_database": False}),
    ],
    ids=["refused", "of the task", "opted out"],
)
def test_what_is_the_task_s_own_business_fails_it(
    define_task: DefineTask, sent: list[dict[str, Any]], error: Exception, options: dict[str, Any]
) -> None:
    assert run_failing(define_task("reports.write", body, **options), error) is error
    assert sent == []


def test_a_task_that_retries_such_errors_itself_goes_on_doing_so(define_task: DefineTask, sent: list[dict[str, Any]]) -> None:
    task = define_task("reports.write", body, autoretry_for=(OperationalError,))

    assert isinstance(run_failing(task, LOST), Retry)


def test_a_task_that_calls_itself_is_called_as_always(define_task: DefineTask) -> None:
    seen: list[tuple[str | None, bool]] = []

    def count(number: int) -> None:
        seen.append((task.request.id, task.request.called_directly))
        if number:
            task(number - 1)

    task = define_task("reports.count", count)
    task.push_request(id="1", called_directly=False, is_eager=False, args=(1,), kwargs={})
    try:
        task(1)
    finally:
        task.pop_request()
    task(0)

    # Celery lets the inner call see the outer one's request.
    assert seen == [("1", False), ("1", False), (None, True)]


BREAKER = CircuitOpen("partner", "it failed 5 times in a row", timedelta(seconds=61.2))


@pytest.mark.parametrize("options", [{}, {"uses_database": False}], ids=["usual", "without a database"])
@pytest.mark.parametrize("times", [0, MOST_TIMES_PUT_OFF], ids=["first", "often put off"])
def test_a_run_whose_breaker_is_open_puts_its_job_off_for_as_long(define_task: DefineTask, times: int, options: dict[str, Any]) -> None:
    raised = run_failing(define_task("reports.write", body, **options), BREAKER, times=times)

    assert isinstance(raised, PutOff)
    assert (raised.obstacle, raised.seconds, raised.__cause__) == ("breaker partner", 62, BREAKER)


def test_where_no_job_can_be_put_off_an_open_breaker_costs_an_attempt(define_task: DefineTask, sent: list[dict[str, Any]]) -> None:
    assert isinstance(run_failing(define_task("reports.write", body), BREAKER, times=None), Retry)
    assert [options["countdown"] for options in sent] == [62]
