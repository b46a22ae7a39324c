"""The index of dead letters and the ways back, against the local AWS."""

import itertools
import json
import os
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from celery import current_app

from app.engine.aws.provision import provision
from app.engine.aws.queue_urls import dead_letter_queue_url, queue_url
from app.engine.broker.lineage import lineage_of
from app.engine.conf import EngineSettings, engine_settings
from app.engine.dead_letters.clerk import Clerk
from app.engine.dead_letters.desk import Desk
from app.engine.dead_letters.groups import grouped
from app.engine.dead_letters.index import MISSES_UNTIL_GONE, Index
from app.engine.dead_letters.letter import DeadLetter, State
from app.engine.dead_letters.order import Action, Order, Report
from app.engine.dead_letters.rounds import MISSED_EVERY
from app.engine.dead_letters.selection import NothingSelected, Selection
from app.engine.dead_letters.walk import Walk
from app.engine.jobs.facts import Facts, keys_of, recorded
from app.engine.jobs.search import Wanted, find_jobs
from app.engine.jobs.states import Decision, JobState, decide
from app.engine.ledger.reading import read_items
from app.topology import TOPOLOGY, Topology
from app.topology.naming import table_name
from tests.support.environment import REGION
from tests.support.hostile import HOSTILE, encoded, valid_message

_numbers = itertools.count(1)


def two_queues() -> Topology:
    """No more than the tests need: each of them makes its own."""
    # Without grants, which name all of the topology.
    services = tuple(replace(one, grants=()) for one in TOPOLOGY.services if set(one.consumes) <= {"default", "emails"})
    queues = tuple(TOPOLOGY.queue(name) for name in ("default", "emails"))
    return replace(TOPOLOGY, queues=queues, services=services, tables=(TOPOLOGY.table("ledger"),), buckets=(), alarms=(), one_offs=())


class Deployment:
    """Queues and a table of a test's own, a clerk that looks when it is told, and a clock that can be turned."""

    def __init__(self, aws: str) -> None:
        self.settings: EngineSettings = replace(
            engine_settings(), name_prefix=f"millrace-dl{next(_numbers)}-{os.getpid()}", topology=two_queues()
        )
        provision(self.settings.topology, name_prefix=self.settings.name_prefix, region=self.settings.region, endpoint_url=aws)
        session = boto3.session.Session(aws_access_key_id="x", aws_secret_access_key="y", region_name=REGION)
        self.sqs: Any = session.client("sqs", endpoint_url=aws)
        self.dynamodb: Any = session.client("dynamodb", endpoint_url=aws)
        self.index = Index(self.settings)
        self.begin()

    def begin(self) -> None:
        """As if it were new."""
        for queue in self.settings.topology.queues:
            for url in (dead_letter_queue_url(self.settings, queue.name), queue_url(self.settings, queue.name)):
                self.sqs.delete_queue(QueueUrl=url)
                self.sqs.create_queue(QueueName=url.rpartition("/")[2])
        table = table_name(self.settings.name_prefix, "ledger")
        for item in self.dynamodb.scan(TableName=table)["Items"]:
            self.dynamodb.delete_item(TableName=table, Key={"id": item["id"]})
        self.ahead = 0.0
        self.clerk = self.new_clerk()

    def now(self) -> float:
        return time.time() + self.ahead

    def new_clerk(self) -> Clerk:
        return Clerk(self.settings, clock=self.now)

    def bury(self, number: int, *, queue: str = "default", body: str = "", fingerprint: str = "f1", cause: bool = True, **more: Any) -> str:
        told = {"reason": "failed", "message": f"no {number}", "exception": "ValueError", "fingerprint": fingerprint, "attempts": 4}
        attributes: dict[str, Any] = {"own": {"DataType": "Binary", "BinaryValue": b"\x00\xff"}}
        if cause:
            attributes |= {
                name: {"DataType": "String", "StringValue": value} for name, value in (("reason", "failed"), ("cause", json.dumps(told)))
            }
        text = body or encoded(valid_message(id=f"task-{number}", retries=3))
        sent = self.sqs.send_message(
            QueueUrl=dead_letter_queue_url(self.settings, queue),
            MessageBody=text,
            MessageAttributes=attributes | more,
            MessageGroupId="acme",
        )
        return str(sent["MessageId"])

    def count(self, queue: str = "default", *, dead: bool = True) -> int:
        url = dead_letter_queue_url(self.settings, queue) if dead else queue_url(self.settings, queue)
        names = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")
        answer = self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=list(names))["Attributes"]
        return int(answer[names[0]]) * 1000 + int(answer[names[1]])

    def messages(self, queue: str = "default", *, dead: bool = False) -> list[dict[str, Any]]:
        url = dead_letter_queue_url(self.settings, queue) if dead else queue_url(self.settings, queue)
        found: list[dict[str, Any]] = []
        while some := self.sqs.receive_message(
            QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"], AttributeNames=["All"], VisibilityTimeout=600
        ).get("Messages"):
            found += some
        return found

    def letters(self, queue: str = "default", *, is_open: bool = True) -> list[DeadLetter]:
        return list(self.index.letters(queue, is_open=is_open, now=self.now()))

    def carry_out(self, action: Action = Action.REDRIVE, *, by: str = "ada", rate: float = 0, **selection: Any) -> Report:
        order = Order(action=action, selection=Selection(**selection), by=by, rate=rate)
        return Desk(self.settings, order, clock=self.now).carry_out()

    def job(self, task_id: str) -> dict[str, Any]:
        key = {"id": {"S": str(current_app.backend.get_key_for_task(task_id))}}
        item: dict[str, Any] = self.dynamodb.get_item(TableName=table_name(self.settings.name_prefix, "ledger"), Key=key).get("Item", {})
        return item


@pytest.fixture(scope="module")
def _deployment(aws: str) -> Deployment:
    return Deployment(aws)


@pytest.fixture
def deployment(_deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> Deployment:
    # The local AWS has one server: an empty answer is one at once.
    monkeypatch.setattr("app.engine.dead_letters.walk._WAIT_SECONDS", 0)
    _deployment.begin()
    return _deployment


def test_what_is_dead_is_indexed_once_and_stays_where_it_is(deployment: Deployment) -> None:
    wanted = {deployment.bury(number, queue=queue) for number in range(12) for queue in ("default", "emails")}

    deployment.clerk.look()
    deployment.ahead = 601
    deployment.new_clerk().look()

    letters = [*deployment.letters(), *deployment.letters("emails")]
    assert {letter.message_id for letter in letters} == wanted
    assert len(letters) == 24
    assert {(letter.task, letter.exception, letter.tenant, letter.state) for letter in letters} == {
        ("engine.debug_task", "ValueError", "acme", State.DEAD)
    }
    assert deployment.count() == deployment.count("emails") == 12_000


def test_nothing_is_received_while_the_count_is_what_it_was(deployment: Deployment) -> None:
    deployment.bury(1)
    deployment.clerk.look()
    before = int(deployment.messages(dead=True)[0]["Attributes"]["ApproximateReceiveCount"])

    deployment.clerk.look()
    deployment.new_clerk().look()

    assert before == 2
    assert deployment.index.get(deployment.letters()[0].id) is not None
    assert deployment.count() == 1


def test_what_a_look_did_not_see_although_it_was_counted_is_looked_for_soon(deployment: Deployment) -> None:
    for number in range(3):
        deployment.bury(number)
    url = dead_letter_queue_url(deployment.settings, "default")
    # As when the answer to a receive got lost.
    (hidden,) = deployment.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=1, VisibilityTimeout=600)["Messages"]
    deployment.clerk.look()
    assert len(deployment.letters()) == 2
    deployment.sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=hidden["ReceiptHandle"], VisibilityTimeout=0)

    deployment.ahead = MISSED_EVERY.total_seconds() + 1
    deployment.clerk.look()

    assert len(deployment.letters()) == 3


def test_letters_of_one_problem_are_one_group(deployment: Deployment) -> None:
    for number in range(6):
        deployment.bury(number, fingerprint=f"f{number % 2}", queue=("default", "emails")[number % 3 == 0])
    deployment.clerk.look()

    groups = grouped([*deployment.letters(), *deployment.letters("emails")])

    assert [(group.fingerprint, group.count, sorted(group.queues)) for group in groups] == [
        ("f0", 3, ["default", "emails"]),
        ("f1", 3, ["default", "emails"]),
    ]


def test_a_letter_that_others_have_taken_is_gone_after_three_rounds_and_not_before(deployment: Deployment) -> None:
    deployment.bury(1)
    deployment.clerk.look()
    deployment.sqs.purge_queue(QueueUrl=dead_letter_queue_url(deployment.settings, "default"))

    for rounds in range(1, MISSES_UNTIL_GONE + 1):
        deployment.clerk.look()
        assert bool(deployment.letters()) == (rounds < MISSES_UNTIL_GONE)
        deployment.ahead += MISSED_EVERY.total_seconds() + 1

    (letter,) = deployment.letters(is_open=False)
    assert letter.state is State.GONE


def test_what_somebody_holds_is_not_missed_and_what_comes_back_is_dead_again(deployment: Deployment) -> None:
    deployment.bury(1)
    deployment.clerk.look()
    (held,) = deployment.messages(dead=True)
    for _ in range(MISSES_UNTIL_GONE + 1):
        deployment.ahead += MISSED_EVERY.total_seconds() + 1
        deployment.clerk.look()
    (letter,) = deployment.letters()
    assert letter.missed == 0

    for _ in range(MISSES_UNTIL_GONE):
        deployment.index.missed(deployment.index.get(letter.id) or letter, deployment.now())
    assert deployment.letters() == []
    deployment.sqs.change_message_visibility(
        QueueUrl=dead_letter_queue_url(deployment.settings, "default"), ReceiptHandle=held["ReceiptHandle"], VisibilityTimeout=0
    )
    deployment.ahead += 601
    deployment.clerk.look()
    assert [letter.state for letter in deployment.letters()] == [State.DEAD]


def test_a_crash_loop_leaves_its_job_dead_but_never_over_what_is_known_better(deployment: Deployment) -> None:
    table = table_name(deployment.settings.name_prefix, "ledger")
    for number, item in enumerate(
        (
            None,
            {"state": {"S": "STARTED"}, "generation": {"N": "4"}, "lease_until": {"N": "1"}},
            {"state": {"S": "RETRY"}, "generation": {"N": "3"}},
            {"state": {"S": "SUCCESS"}},
            {"state": {"S": "FAILURE"}},
            {"state": {"S": "STARTED"}, "generation": {"N": "4"}, "lease_until": {"N": "9999999999"}},
            {"state": {"S": "STARTED"}, "generation": {"N": "5"}, "lease_until": {"N": "1"}},
        )
    ):
        if item is not None:
            key = {"id": {"S": str(current_app.backend.get_key_for_task(f"task-{number}"))}}
            deployment.dynamodb.put_item(TableName=table, Item=key | item)
        deployment.bury(number, cause=False)

    deployment.clerk.look()

    states = [deployment.job(f"task-{number}")["state"]["S"] for number in range(7)]
    assert states == ["DEAD", "DEAD", "DEAD", "SUCCESS", "FAILURE", "STARTED", "STARTED"]
    assert {letter.reason for letter in deployment.letters()} == {"crash-loop"}
    dead = deployment.job("task-1")
    assert json.loads(dead["result"]["S"])["result"]["exc_type"] == "WorkerLostError"
    assert deployment.index.get(dead["letter"]["S"]) is not None


def test_a_dead_job_is_listed_as_such_and_queued_as_soon_as_it_was_sent_back(deployment: Deployment) -> None:
    def told() -> Decision:
        known = recorded(read_items(deployment.settings, keys_of("task-1")), "task-1", datetime.now(UTC))
        return decide(Facts(task_id="task-1", at=datetime.now(UTC), run=known.run, enqueued=known.enqueued, sent_back=known.sent_back))

    deployment.bury(1, cause=False)
    deployment.clerk.look()
    assert told().state is JobState.DEAD
    (job,) = find_jobs(deployment.settings, Wanted(state=JobState.DEAD), limit=10).jobs
    assert job.id == "task-1"

    (letter,) = deployment.letters()
    deployment.carry_out(ids=(letter.id,))

    assert told().state is JobState.QUEUED
    assert "sent back from the dead letters by ada" in told().reason


def test_a_job_that_is_claimed_a_moment_longer_than_its_message_lives_is_dead_soon(deployment: Deployment) -> None:
    key = {"id": {"S": str(current_app.backend.get_key_for_task("task-1"))}}
    claimed = {"state": {"S": "STARTED"}, "generation": {"N": "4"}, "lease_until": {"N": str(time.time() + 20)}}
    deployment.dynamodb.put_item(TableName=table_name(deployment.settings.name_prefix, "ledger"), Item=key | claimed)
    deployment.bury(1, cause=False)
    deployment.clerk.look()
    assert (len(deployment.letters()), deployment.job("task-1")["state"]["S"]) == (1, "STARTED")

    deployment.ahead = MISSED_EVERY.total_seconds() + 1
    deployment.new_clerk().look()

    assert deployment.job("task-1")["state"]["S"] == "DEAD"


def test_a_letter_goes_back_as_it_came_with_its_group_and_where_it_comes_from(deployment: Deployment) -> None:
    deployment.bury(1, parked_since={"DataType": "Number", "StringValue": "1"})
    body = encoded(valid_message(id="task-1", retries=3))
    deployment.clerk.look()
    (letter,) = deployment.letters()

    report = deployment.carry_out(ids=(letter.id,))

    assert (report.selected, report.done, report.not_found, report.refused) == (1, 1, [], {})
    (message,) = deployment.messages()
    assert message["Body"] == body
    assert message["Attributes"]["MessageGroupId"] == "acme"
    assert set(message["MessageAttributes"]) == {"own", "redrive"}
    lineage = lineage_of(message["MessageAttributes"])
    assert lineage is not None
    assert (lineage.count, lineage.redrives[0].by, lineage.redrives[0].letter) == (1, "ada", letter.id)
    assert deployment.count() == 0
    over = deployment.index.get(letter.id)
    assert over is not None
    assert (over.state, over.by) == (State.REDRIVEN, "ada")
    assert deployment.letters() == []
    assert deployment.carry_out(ids=(letter.id,)).selected == 0


def test_only_the_group_that_is_meant_goes_back_and_at_the_rate_that_was_asked(deployment: Deployment) -> None:
    for number in range(30):
        deployment.bury(number, fingerprint=f"f{number % 3}")
    deployment.clerk.look()
    began = time.monotonic()

    report = deployment.carry_out(fingerprint="f1", rate=8)

    assert report.done == 10
    assert time.monotonic() - began >= 8 / 8
    assert deployment.count() == 20_000
    assert deployment.count(dead=False) == 10_000
    assert {letter.fingerprint for letter in deployment.letters()} == {"f0", "f2"}


def test_what_is_discarded_is_deleted_and_recorded(deployment: Deployment) -> None:
    for number in range(3):
        deployment.bury(number)
    deployment.clerk.look()

    report = deployment.carry_out(Action.DISCARD, is_all=True, by="grace")

    assert (report.done, deployment.count(), deployment.count(dead=False)) == (3, 0, 0)
    assert {(letter.state, letter.by) for letter in deployment.letters(is_open=False)} == {(State.DISCARDED, "grace")}


@pytest.mark.parametrize(
    "shape", [shape for shape in HOSTILE if shape.name in {"garbage_text", "json_list"}] + [HOSTILE[-1]], ids=lambda shape: shape.name
)
def test_a_hostile_body_goes_back_as_it_came(deployment: Deployment, shape: Any) -> None:
    deployment.bury(1, body=shape.body, cause=False)
    deployment.clerk.look()

    assert deployment.carry_out(reason="crash-loop").done == 1
    assert [message["Body"] for message in deployment.messages()] == [shape.body]


def test_what_was_sent_back_and_not_deleted_is_deleted_by_the_next_look(deployment: Deployment) -> None:
    deployment.bury(1)
    deployment.clerk.look()
    (letter,) = deployment.letters()
    now = deployment.now()
    assert deployment.index.take(letter, by="ada", holder="one", now=now, until=now + 20)
    assert deployment.index.sent(letter, holder="one", now=now, expires_at=int(now) + 1000)

    deployment.ahead = 601
    deployment.new_clerk().look()

    assert (deployment.count(), deployment.count(dead=False)) == (0, 0)


def test_what_another_sends_back_is_left_alone_until_its_time_is_over(deployment: Deployment) -> None:
    deployment.bury(1)
    deployment.clerk.look()
    (letter,) = deployment.letters()
    now = deployment.now()
    assert deployment.index.take(letter, by="ada", holder="one", now=now, until=now + 20)

    assert not deployment.index.take(letter, by="grace", holder="two", now=now + 19, until=now + 50)
    assert not deployment.index.discard(letter, by="grace", now=now + 19, expires_at=int(now) + 1000)
    assert deployment.index.take(letter, by="grace", holder="two", now=now + 21, until=now + 50)
    assert not deployment.index.sent(letter, holder="one", now=now + 22, expires_at=int(now) + 1000)
    assert deployment.index.sent(letter, holder="two", now=now + 22, expires_at=int(now) + 1000)


def test_what_sqs_does_not_take_back_stays_with_its_problem(deployment: Deployment) -> None:
    # As large as a message may be: no room for where it comes from.
    message = valid_message(id="task-1")
    room = 1024 * 1024 - len(json.dumps(message)) - 100
    deployment.bury(1, body=json.dumps(message | {"body": message["body"] + "A" * (room // 4 * 4)}), cause=False)
    deployment.clerk.look()
    (letter,) = deployment.letters()

    report = deployment.carry_out(ids=(letter.id,))

    assert (report.done, list(report.refused)) == (0, [letter.id])
    after = deployment.index.get(letter.id)
    assert after is not None
    assert (after.state, bool(after.problem)) == (State.DEAD, True)


def test_whoever_means_all_has_to_say_so(deployment: Deployment) -> None:
    with pytest.raises(NothingSelected):
        deployment.carry_out()


def test_an_order_does_not_mean_what_dies_after_it_was_given(deployment: Deployment) -> None:
    deployment.bury(1)
    deployment.clerk.look()

    assert deployment.carry_out(is_all=True, entered_before=deployment.letters()[0].entered_at).selected == 0


def test_a_walk_lets_go_of_what_it_holds(deployment: Deployment) -> None:
    for number in range(15):
        deployment.bury(number)
    walk = Walk(deployment.sqs, dead_letter_queue_url(deployment.settings, "default"), hold_seconds=30)
    assert sum(len(walk.receive()) for _ in range(3)) == 15
    assert deployment.count() == 15

    walk.let_go()

    assert deployment.count() == 15_000
