"""Messages that no well-behaved sender sends, at real workers: every one that SQS took is accounted for."""

import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import boto3
import pytest
from botocore.exceptions import ClientError

from app.engine.broker.dead_letters import Reason
from tests.support.broker import PROGRAM, Broker, Worker
from tests.support.environment import REGION
from tests.support.eventually import eventually
from tests.support.hostile import HOSTILE, encoded, mutations, valid_message

#: One good message among so many hostile ones.
GOOD_EVERY = 10
#: Due later than this is refused, so that nothing outlasts the test.
LATEST_ETA_SECONDS = 60


@dataclass
class Account:
    """What was sent, and what became of it."""

    sent: dict[str, str] = field(default_factory=dict)
    """Body by message id, of the hostile ones that SQS took."""
    ran: Counter[str] = field(default_factory=Counter)
    expired: Counter[str] = field(default_factory=Counter)
    buried: Counter[str] = field(default_factory=Counter)
    """Dead letters by body."""
    reasons: dict[str, set[str]] = field(default_factory=dict)
    """Those of the dead letters, by body."""
    growth_mib: float = 0
    slowest_seconds: float = 0
    """From the send of a good message to its run."""

    def outcome(self, message_id: str) -> str:
        """In the words of ``hostile.Shape``, or those of the dead letter."""
        if message_id in self.ran:
            return "accepted"
        (reason,) = self.reasons.get(self.sent[message_id], {"lost"})
        if reason in {"lost", "no reason", Reason.FAILED, Reason.REJECTED, "not-taken"}:
            return reason
        return "unknown" if reason == Reason.UNKNOWN_TASK else "refused"

    def lost(self) -> list[str]:
        """Bodies without a run, an expiry or a dead letter with its reason."""
        unaccounted = Counter(
            body for message_id, body in self.sent.items() if message_id not in self.ran and message_id not in self.expired
        )
        return list((unaccounted - self.buried).elements())


def rss_mib(worker: Worker) -> float:
    status = Path(f"/proc/{worker.process.pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) / 1024


def survive(broker: Broker, bodies: Iterable[str]) -> Account:
    """Send everything to a worker, with good messages in between, and wait until the queue is empty."""
    account = Account()
    worker = broker.start("-c", "2")
    before = rss_mib(worker)
    strict = boto3.client("sqs", region_name=REGION, endpoint_url=broker.network.url, aws_access_key_id="x", aws_secret_access_key="y")
    good: dict[int, float] = {}
    for number, body in enumerate(bodies):
        try:
            account.sent[strict.send_message(QueueUrl=broker.url, MessageBody=body)["MessageId"]] = body
        except ClientError as error:
            # What SQS itself does not take never reaches a worker.
            assert error.response["Error"]["Code"] in {"MissingParameter", "InvalidMessageContents", "InvalidParameterValue"}  # noqa: PT017
        if number % GOOD_EVERY == 0:
            good[number] = time.time()
            text = encoded(valid_message(task=f"{PROGRAM}.note", args=[number], id=f"good-{number}"))
            strict.send_message(QueueUrl=broker.url, MessageBody=text)
    eventually(lambda: sum(broker.depth()), 0, within=60 + len(account.sent) / 10)
    assert worker.is_running()
    account.growth_mib = rss_mib(worker) - before
    account.slowest_seconds = max(at - good[number] for number, at in broker.notes("note"))
    assert broker.runs("note") == Counter(good.keys())
    account.ran, account.expired = broker.runs("odd"), broker.runs("expired")
    for letter in broker.dead_letters():
        account.buried[letter["Body"]] += 1
        attributes = letter.get("MessageAttributes", {})
        account.reasons.setdefault(letter["Body"], set()).add(
            attributes["reason"]["StringValue"] if "reason" in attributes else "no reason"
        )
    return account


def test_every_hostile_message_has_the_outcome_that_its_shape_deserves(make_broker: Callable[..., Broker]) -> None:
    broker = make_broker(visibility=30, options={"unknown_task_seconds": 0, "latest_eta_seconds": LATEST_ETA_SECONDS})

    account = survive(broker, [shape.body for shape in HOSTILE])

    taken = {body: message_id for message_id, body in account.sent.items()}
    shapes = [shape for shape in HOSTILE if shape.body in taken]
    assert {shape.name: account.outcome(taken[shape.body]) for shape in shapes} == {shape.name: shape.outcome for shape in shapes}
    assert len(shapes) >= len(HOSTILE) - 5
    assert account.growth_mib < 32
    assert account.slowest_seconds < 5


@pytest.mark.long
@pytest.mark.timeout(900)
def test_ten_thousand_mutations_end_no_worker_and_none_is_lost(make_broker: Callable[..., Broker]) -> None:
    broker = make_broker(visibility=60, options={"unknown_task_seconds": 0, "latest_eta_seconds": LATEST_ETA_SECONDS})

    account = survive(broker, mutations(20261124, 10_000))

    assert account.lost() == []
    assert set().union(*account.reasons.values()).isdisjoint({"no reason", "not-taken"})
    assert max(account.ran.values()) == 1
    assert account.growth_mib < 32
    assert account.slowest_seconds < 5
