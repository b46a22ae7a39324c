"""A committed job runs, whatever dies or is away between the commit and SQS."""

import time
from typing import Any

import pytest

from tests.support.eventually import eventually
from tests.support.faults import Network

ALL = pytest.mark.long


@pytest.mark.parametrize("kills", [3, pytest.param(20, marks=ALL)])
def test_a_web_process_killed_between_commit_and_send_loses_no_job(stack: Any, gateway: Any, kills: int) -> None:
    (web,) = stack.start("web")
    payments = []
    for _ in range(kills):
        # SQS accepts connections and never answers: the commit is done, the send is not.
        stack.network.become(Network.SILENT)
        payments.append(stack.pay())
        web.kill()
        stack.network.become(Network.HEALTHY)
        (web,) = stack.start("web")
    assert stack.depth("default") == (0, 0)
    assert stack.query("SELECT count(*) FROM outbox_outboxmessage") == [(kills,)]

    stack.start("outbox-relay", "worker-default")

    stack.await_state(payments, "captured", within=60)
    assert [len(gateway.captures(payment)) for payment in payments] == [1] * kills


@pytest.mark.parametrize("seconds", [6, pytest.param(20, marks=ALL)])
@pytest.mark.parametrize("state", [Network.REFUSED, Network.SILENT])
def test_while_sqs_is_away_the_api_answers_at_once_and_every_job_runs_afterwards(
    stack: Any, gateway: Any, seconds: int, state: Network
) -> None:
    stack.start("web", "worker-default", "outbox-relay")
    stack.pay()  # the first request of a process pays for its imports
    stack.network.become(state)
    payments, answered = [], []
    healed_at = time.monotonic() + seconds
    while time.monotonic() < healed_at:
        started = time.monotonic()
        payments.append(stack.pay())
        answered.append(time.monotonic() - started)
        eventually(lambda at=started: time.monotonic() - at >= 0.5)  # type: ignore[misc] # two customers a second
    stack.network.become(Network.HEALTHY)

    stack.await_state(payments, "captured", within=60)
    # Nine of ten: the two cores of this machine are shared with the workers; an answer that waited for SQS would take seconds.
    assert sorted(answered)[len(answered) * 9 // 10 - 1] <= 0.3
    assert max(answered) <= 1
    assert [len(gateway.captures(payment)) for payment in payments] == [1] * len(payments)
    assert all(service.is_running for service in stack.services)


def test_a_killed_relay_leaves_nothing_unsent(stack: Any) -> None:
    (relay,) = stack.start("outbox-relay")
    stack.network.become(Network.SILENT)
    done = stack.python(
        "from celery import current_app\nfrom django.db import transaction\n"
        "from app.engine.outbox.background import background_relay\n"
        "background_relay.wake = lambda: None\n"
        "with transaction.atomic():\n    [current_app.tasks['engine.debug_task'].delay() for _ in range(30)]"
    )
    assert done.returncode == 0, done.stderr
    relay.kill()
    stack.network.become(Network.HEALTHY)

    stack.start("outbox-relay")

    eventually(lambda: stack.query("SELECT count(*) FROM outbox_outboxmessage"), [(0,)], within=30)
    eventually(lambda: stack.depth("default"), (30, 0))
