"""The gateway's journal shows one capture per payment, whatever happens to the worker, the message or the answer."""

from typing import Any

import pytest

from tests.support.eventually import eventually


@pytest.fixture
def web(stack: Any) -> Any:
    return stack.start("web")[0]


def _captured_once(stack: Any, gateway: Any, payment: str, within: float = 40) -> None:
    stack.await_state([payment], "captured", within=within)
    assert len(gateway.captures(payment)) == 1
    # What follows a payment happens once, too.
    eventually(
        lambda: stack.query("SELECT count(*), sum(amount_minor) FROM payments_balanceentry WHERE payment_id = %s", payment), [(1, 1999)]
    )


def test_a_message_delivered_twice(stack: Any, gateway: Any, web: Any) -> None:
    payment = stack.pay()
    eventually(lambda: stack.depth("default"), (1, 0))
    (message,) = stack.sqs.receive_message(QueueUrl=stack.queue_url("default"), VisibilityTimeout=0)["Messages"]
    for _ in range(4):
        stack.sqs.send_message(QueueUrl=stack.queue_url("default"), MessageBody=message["Body"])

    stack.start("worker-default")

    _captured_once(stack, gateway, payment)
    eventually(lambda: stack.depth("default"), (0, 0))
    assert len(gateway.captures(payment)) == 1


def test_a_payment_enqueued_many_times(stack: Any, gateway: Any, web: Any) -> None:
    payment = stack.pay()
    done = stack.python(
        f"from celery import current_app\n[current_app.tasks['payments.process_payment'].delay(payment_id={payment!r}) for _ in range(8)]"
    )
    assert done.returncode == 0, done.stderr

    stack.start("worker-default")

    _captured_once(stack, gateway, payment)
    eventually(lambda: stack.depth("default"), (0, 0), within=30)
    assert len(gateway.captures(payment)) == 1


@pytest.mark.parametrize(
    ("mode", "is_captured_before_the_kill"),
    [("timeout_before", False), ("timeout_after", True)],
    ids=["before the capture", "after the capture, before it is recorded"],
)
def test_a_worker_killed(stack: Any, gateway: Any, web: Any, mode: str, is_captured_before_the_kill: bool) -> None:
    stack.shorten_visibility("default", 4)
    gateway.fault("confirm", mode, seconds=30)
    (worker,) = stack.start("worker-default")
    payment = stack.pay()
    eventually(lambda: stack.query("SELECT intent_id FROM payments_payment WHERE id = %s AND intent_id IS NOT NULL", payment))
    if is_captured_before_the_kill:
        eventually(lambda: gateway.captures(payment))

    worker.kill()
    gateway.heal()
    assert stack.payment(payment)["state"] == "charging"
    assert len(gateway.captures(payment)) == int(is_captured_before_the_kill)
    stack.start("worker-default")

    _captured_once(stack, gateway, payment)


@pytest.mark.parametrize(
    ("operation", "mode"),
    [
        ("create", "reset_after"),
        ("confirm", "timeout_after"),
        *(pytest.param("create", mode, marks=pytest.mark.long) for mode in ("timeout_after", "error_500_after", "error_500_before")),
        *(pytest.param("confirm", mode, marks=pytest.mark.long) for mode in ("error_500_after", "reset_after", "error_500_before")),
    ],
)
def test_a_gateway_whose_answer_is_lost(stack: Any, gateway: Any, web: Any, operation: str, mode: str) -> None:
    gateway.fault(operation, mode, seconds=30)
    stack.start("worker-default")

    payment = stack.pay()

    _captured_once(stack, gateway, payment, within=60)
