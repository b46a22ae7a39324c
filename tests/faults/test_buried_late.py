"""A job whose run has failed for good ends among the dead letters, also when its worker dies before it has moved the message."""

import json
from typing import Any

import pytest

from tests.support.eventually import eventually
from tests.support.faults import Fault

WORKER = """
from celery import shared_task
from app.config.celery import celery_app

@shared_task(name="engine.fail")
def fail():
    raise ValueError("card 17 was declined")

@shared_task(name="engine.fail_quietly", ignore_result=True)
def fail_quietly():
    raise ValueError("card 17 was declined")

celery_app.worker_main(["worker", "--queues", "default", "--concurrency", "2", "--loglevel", "INFO"])
"""


def state(stack: Any, task_id: str) -> str:
    key = {"id": {"S": f"celery-task-meta-{task_id}"}}
    return str(stack.dynamodb.get_item(TableName=stack.table("ledger"), Key=key).get("Item", {}).get("state", {}).get("S", ""))


@pytest.mark.parametrize("task", ["engine.fail", pytest.param("engine.fail_quietly", marks=pytest.mark.long)])
def test_a_worker_that_dies_between_the_result_and_the_move_leaves_a_dead_letter_with_its_cause(stack: Any, task: str) -> None:
    stack.network.habits(duplicates=0, lost_receives=0)
    stack.shorten_visibility("default", 5)
    worker = stack.start_program("worker-default", WORKER)
    # Nothing can be moved: a move is a SendMessageBatch.
    stack.network.fail("SendMessageBatch", Fault.UNAVAILABLE)
    sent = stack.python(f"from celery import current_app\ncurrent_app.send_task({task!r}, task_id='one')")
    assert sent.returncode == 0, sent.stderr
    eventually(lambda: state(stack, "one"), "FAILURE", within=15)
    worker.kill()
    stack.network.heal()

    stack.start_program("worker-default", WORKER)

    def letters() -> Any:
        asked = {"MaxNumberOfMessages": 10, "MessageAttributeNames": ["All"], "VisibilityTimeout": 0}
        return stack.sqs.receive_message(QueueUrl=stack.dead_letter_url("default"), **asked).get("Messages", [])

    (letter,) = eventually(letters, within=20)
    cause = json.loads(letter["MessageAttributes"]["cause"]["StringValue"])
    assert (cause["reason"], cause["task"], cause["task_id"]) == ("failed", task, "one")
    assert "card 17 was declined" in cause["message"]
    eventually(lambda: sum(stack.depth("default")), 0, within=15)
    assert state(stack, "one") == "FAILURE"
