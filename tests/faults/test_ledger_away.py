"""No job is acknowledged whose result the ledger did not take."""

from typing import Any

import pytest

from tests.support.eventually import eventually


def test_a_ledger_that_refuses_the_result_leaves_the_message_in_the_queue(stack: Any) -> None:
    """The table is gone, as after a wrong deployment: no retry will help, and nothing may be lost meanwhile."""
    stack.dynamodb.delete_table(TableName=stack.table("ledger"))
    (worker,) = stack.start("worker-default")
    done = stack.python("from celery import current_app\ncurrent_app.tasks['engine.debug_task'].delay()")
    assert done.returncode == 0, done.stderr

    eventually(
        lambda: [line for line in worker.lines() if line.get("message") == "ledger refuses the state, message given back"], within=15
    )

    assert sum(stack.depth("default")) == 1
    assert worker.is_running


STUBBORN_WORKER = """
import time
from celery import shared_task
from celery.exceptions import SoftTimeLimitExceeded
from app.config.celery import celery_app

@shared_task(name="engine.stubborn")
def stubborn():
    try:
        time.sleep(60)
    except SoftTimeLimitExceeded:
        time.sleep(60)

celery_app.worker_main(["worker", "--queues", "default", "--concurrency", "1", "--loglevel", "INFO"])
"""


def test_a_run_killed_by_its_time_limit_while_the_ledger_is_gone_ends_no_worker(stack: Any) -> None:
    worker = stack.start_program("worker-default", STUBBORN_WORKER)
    stack.dynamodb.delete_table(TableName=stack.table("ledger"))
    done = stack.python("from celery import current_app\ncurrent_app.send_task('engine.stubborn', time_limit=2, soft_time_limit=1)")
    assert done.returncode == 0, done.stderr

    eventually(lambda: [line for line in worker.lines() if line.get("message") == "state not stored"], within=20)

    (failed, *_) = eventually(lambda: [line for line in worker.lines() if line.get("message") == "task failed"])
    assert (failed["task"], failed["queue"], failed["error"]) == ("engine.stubborn", "default", "TimeLimitExceeded")
    assert worker.is_running


ODD_WORKER = """
from celery import shared_task
from app.config.celery import celery_app

@shared_task(name="engine.odd")
def odd():
    return object()

@shared_task(name="engine.huge")
def huge():
    return "x" * 70_000_000

celery_app.worker_main(["worker", "--queues", "default", "--concurrency", "1", "--loglevel", "INFO"])
"""


@pytest.mark.parametrize(("task", "said"), [("engine.odd", "not JSON serializable"), ("engine.huge", "64 MiB")])
def test_a_result_that_no_store_could_take_fails_its_task_once_and_is_not_given_back(stack: Any, task: str, said: str) -> None:
    """It is the task's mistake and not the ledger's refusal: running it again would not help."""
    stack.network.habits(duplicates=0)  # a second delivery would be a second start
    worker = stack.start_program("worker-default", ODD_WORKER)
    done = stack.python(f"from celery import current_app\nprint(repr(current_app.send_task({task!r}).get(timeout=20, propagate=False)))")
    assert done.returncode == 0, done.stderr

    assert said in done.stdout
    assert len([line for line in worker.lines() if line.get("message") == "task started"]) == 1
    eventually(lambda: stack.depth("default"), (0, 0))


def test_a_caller_s_own_time_limit_is_kept_although_the_task_has_a_longer_soft_one(stack: Any) -> None:
    """Celery arms the hard limit only after the soft one has passed."""
    (worker,) = stack.start("worker-default")
    done = stack.python(
        "from celery import current_app\ncurrent_app.tasks['engine.debug_task'].apply_async(kwargs={'seconds': 60}, time_limit=2)"
    )
    assert done.returncode == 0, done.stderr

    (ended, *_) = eventually(lambda: [line for line in worker.lines() if line.get("message") == "task ended"], within=15)
    assert ended["outcome"] == "failure"
