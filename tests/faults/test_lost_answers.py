"""Sends that SQS turns away, or whose answer is lost: nothing is multiplied, and who sends is told."""

from collections import Counter
from collections.abc import Callable

import pytest

from tests.support.broker import Broker
from tests.support.eventually import eventually
from tests.support.faults import Fault

JOBS = 20
BULK = 100
#: One line for each job: what its send raised, or a dash.
SEND_EACH = f"""
for job in range({JOBS}):
    try:
        note.delay(job)
        print("-")
    except Exception as error:
        print(type(error).__name__)
"""
SEND_TOGETHER = f"""
from celery import group
try:
    group(note.si(job) for job in range({BULK})).apply_async()
except Exception as error:
    print(type(error).__name__, len(error.refused), len(error.unanswered))
"""


def told(broker: Broker) -> dict[int, str]:
    return dict(enumerate(broker.send(SEND_EACH).split()))


def sends(broker: Broker, operation: str = "SendMessage") -> int:
    return len([request for request in broker.network.requests() if request.operation == operation])


def ran(broker: Broker) -> Counter[int]:
    """Every run, once the queue is empty."""
    broker.start("-c", "2")
    eventually(broker.depth, (0, 0), within=20)
    return broker.runs("note")


def test_a_send_whose_answer_is_lost_says_so_and_is_one_message(make_broker: Callable[..., Broker]) -> None:
    broker = make_broker()
    broker.network.fail("SendMessage", Fault.LOST_ANSWER)

    assert set(told(broker).values()) == {"Unanswered"}

    assert broker.depth() == (JOBS, 0)
    assert ran(broker) == Counter(range(JOBS))


def test_a_send_that_is_answered_or_not_is_one_message(make_broker: Callable[..., Broker]) -> None:
    broker = make_broker()
    broker.network.fail("SendMessage", Fault.LOST_ANSWER, probability=0.5)

    assert set(told(broker).values()) == {"Unanswered", "-"}

    assert ran(broker) == Counter(range(JOBS))


@pytest.mark.parametrize("fault", [Fault.UNAVAILABLE, Fault.THROTTLED])
def test_what_sqs_surely_did_not_take_is_sent_again_and_arrives_once(make_broker: Callable[..., Broker], fault: Fault) -> None:
    broker = make_broker()
    broker.network.fail("SendMessage", fault, probability=0.4)

    answers = told(broker)

    assert sends(broker) > JOBS
    assert ran(broker) == Counter(job for job, raised in answers.items() if raised == "-")
    assert "-" in answers.values()


@pytest.mark.parametrize("fault", [Fault.ERROR, Fault.RESET, Fault.DENIED])
def test_what_may_have_been_taken_or_was_refused_is_not_sent_again(make_broker: Callable[..., Broker], fault: Fault) -> None:
    broker = make_broker()
    broker.network.fail("SendMessage", fault)

    assert "-" not in told(broker).values()

    assert sends(broker) == JOBS
    assert broker.depth() == (0, 0)


def test_a_bulk_whose_answer_is_lost_says_so_and_is_one_message_a_job_at_most(make_broker: Callable[..., Broker]) -> None:
    broker = make_broker()
    broker.network.fail("SendMessageBatch", Fault.LOST_ANSWER)

    assert broker.send(SEND_TOGETHER).split() == ["PartlySent", "0", str(BULK)]

    broker.network.heal()
    # The first ten left before SQS fell silent; the rest was not sent after them.
    assert ran(broker) == Counter(range(10))


def test_a_bulk_that_sqs_turns_away_at_first_arrives_once(make_broker: Callable[..., Broker]) -> None:
    broker = make_broker()
    broker.network.fail("SendMessageBatch", Fault.UNAVAILABLE, probability=0.4)

    said = broker.send(SEND_TOGETHER).split()

    sent = BULK - (int(said[2]) if said else 0)
    assert sends(broker, "SendMessageBatch") > sent / 10
    broker.network.heal()
    assert ran(broker) == Counter(range(sent))


@pytest.mark.parametrize(
    ("operations", "fault", "attempts"),
    [("SendMessage", Fault.UNAVAILABLE, 3), ("SendMessage", Fault.DENIED, 1), ("SendMessage*", Fault.RESET, 1)],
)
def test_a_retry_that_cannot_be_sent_is_a_dead_letter_that_can_be_redriven(
    make_broker: Callable[..., Broker], operations: str, fault: Fault, attempts: int
) -> None:
    broker = make_broker()
    broker.send(f"for job in range({JOBS}): try_again.delay(job)")
    broker.network.reset()
    broker.network.fail(operations, fault)
    broker.start("-c", "2")
    eventually(lambda: sends(broker), JOBS * attempts, within=30)
    broker.network.heal()
    eventually(broker.depth, (0, 0), within=20)

    letters = broker.dead_letters()
    assert len(letters) == JOBS
    assert {letter["MessageAttributes"]["reason"]["StringValue"] for letter in letters} == {"rejected"}
    assert broker.runs("try") == Counter(range(JOBS))
    for letter in letters:
        broker.sqs.send_message(QueueUrl=broker.url, MessageBody=letter["Body"])
    eventually(lambda: broker.runs("try"), Counter(list(range(JOBS)) * 3), within=20)


def test_a_retry_whose_answer_is_lost_runs_once_and_leaves_a_dead_letter(make_broker: Callable[..., Broker]) -> None:
    broker = make_broker()
    broker.send(f"for job in range({JOBS}): try_again.delay(job)")
    broker.network.fail("SendMessage", Fault.LOST_ANSWER)
    broker.start("-c", "2")

    eventually(lambda: broker.runs("try"), Counter(list(range(JOBS)) * 2), within=20)
    eventually(broker.depth, (0, 0), within=20)
    assert broker.runs("try") == Counter(list(range(JOBS)) * 2)
    assert len(broker.dead_letters()) == JOBS
