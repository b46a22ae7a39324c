"""The keys of a task's role are replaced while a worker runs, and where they come from may be away."""

import time
from collections.abc import Callable, Iterator

import pytest

from tests.support.broker import PROGRAM, Broker
from tests.support.eventually import eventually
from tests.support.hostile import encoded, valid_message
from tests.support.strict_sqs import Request
from tests.support.task_role import TaskRole, task_role

#: For so long after it was handed out, the AWS SDK looks for no other key.
FRESH_SECONDS = 2
#: The AWS SDK asks three times, a second apart, before it goes on with the key that it has.
ASKING_SECONDS = 5


@pytest.fixture
def role() -> Iterator[TaskRole]:
    with task_role(FRESH_SECONDS) as running:
        yield running


def run(broker: Broker, job: int, within: float = 10) -> None:
    """Have a job run whose sender needs none of the role's keys."""
    message = encoded(valid_message(task=f"{PROGRAM}.note", args=[job], id=f"job-{job}"))
    broker.sqs.send_message(QueueUrl=broker.url, MessageBody=message)
    eventually(lambda: broker.runs("note")[job], 1, within)


def pass_time(seconds: float) -> None:
    end = time.monotonic() + seconds
    eventually(lambda: time.monotonic() > end, within=seconds + 5)


def signed(broker: Broker) -> list[Request]:
    """What SQS accepted of the worker."""
    return [request for request in broker.network.requests() if request.access_key and request.status == 200]


def test_a_worker_signs_with_each_new_key_soon(make_broker: Callable[..., Broker], role: TaskRole) -> None:
    broker = make_broker(identity=role.identity)
    broker.start("-c", "2")
    for job in range(3):
        run(broker, job)
        pass_time(FRESH_SECONDS)

    eventually(broker.depth, (0, 0))
    for operation in ("ReceiveMessage", "DeleteMessageBatch"):
        assert len({request.access_key for request in signed(broker) if request.operation == operation}) >= 3
    assert all(0 < request.at - role.issued[request.access_key] < FRESH_SECONDS + ASKING_SECONDS for request in signed(broker))


@pytest.mark.long
def test_a_worker_goes_on_with_its_key_while_there_is_no_other(make_broker: Callable[..., Broker], role: TaskRole) -> None:
    broker = make_broker(identity=role.identity)
    broker.start("-c", "2")
    run(broker, -1)
    role.is_away = True
    gone_at = time.monotonic()
    for job in range(5):
        run(broker, job)
        pass_time(FRESH_SECONDS)
    assert len({request.access_key for request in signed(broker) if request.at > gone_at + FRESH_SECONDS}) == 1
    role.is_away = False
    back_at = time.monotonic()
    run(broker, 5)

    eventually(broker.depth, (0, 0))
    eventually(lambda: role.issued[signed(broker)[-1].access_key] > back_at)
    assert set(broker.runs("note").values()) == {1}


@pytest.mark.long
def test_a_worker_whose_keys_have_all_expired_waits_for_the_next_one(make_broker: Callable[..., Broker], role: TaskRole) -> None:
    role.expires_soon = True
    broker = make_broker(identity=role.identity)
    worker = broker.start("-c", "2")
    run(broker, 0)
    role.is_away = True
    gone_at = time.monotonic()
    pass_time(FRESH_SECONDS + ASKING_SECONDS + 8)
    role.is_away = False
    back_at = time.monotonic()

    run(broker, 1, within=12)
    assert worker.is_running()
    eventually(broker.depth, (0, 0))
    assert set(broker.runs("note").values()) == {1}
    assert not [request for request in signed(broker) if gone_at + FRESH_SECONDS + ASKING_SECONDS < request.at < back_at]
