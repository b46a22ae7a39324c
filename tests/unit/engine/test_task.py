"""What a plain ``@shared_task`` gets."""

import pytest
from celery import current_app
from celery.exceptions import Reject, Retry

from app.engine.conf import engine_settings
from app.engine.errors import PermanentError, TransientError
from app.engine.task import Task
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
