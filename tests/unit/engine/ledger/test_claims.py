"""Who may run a job, decided by one conditional write."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError
from celery import states

from app.engine.aws.wire import NotSent, Unanswered
from app.engine.job_ledger import RUN, RecordedFailure, Verdict
from app.engine.ledger.book import condition_of
from app.engine.ledger.claims import DEAD, Claims, generation_of
from tests.unit.engine.ledger.deliveries import FakeDelivery, admission_of
from tests.unit.engine.ledger.fake_dynamodb import TABLE, FakeDynamoDb, client_error

LEASE = 60.0


class Desk:
    """Two workers and a clock."""

    def __init__(self) -> None:
        self.dynamodb = FakeDynamoDb()
        self.now = 1_000_000.0
        self.first = self._claims("first")
        self.second = self._claims("second")

    def _claims(self, holder: str) -> Claims:
        return Claims(lambda: self.dynamodb, TABLE, holder=holder, ttl=timedelta(days=1), clock=lambda: self.now)

    def finish(self, state: str, key: str = "1", **more: Any) -> None:
        """As the run of the present fence."""
        item = {"id": {"S": key}, "state": {"S": state}, "fence": self.dynamodb.item(key)["fence"]} | more
        self.dynamodb.put_item(TableName=TABLE, Item=item, **condition_of(item))


@pytest.fixture
def desk() -> Desk:
    return Desk()


def claim(claims: Claims, delivery: FakeDelivery) -> Verdict:
    return admission_of(claims, delivery.task_id, delivery, LEASE, "worker@host").verdict


def test_the_first_claim_runs_and_says_who_runs_what_since_when(desk: Desk) -> None:
    delivery = FakeDelivery(
        headers={"retries": 0, "root_id": "r", "parent_id": "p", "group": None},
        system_attributes={"SentTimestamp": "999000500", "MessageGroupId": "acme"},
    )

    assert claim(desk.first, delivery) is Verdict.RUN

    item = desk.dynamodb.item("1")
    assert delivery.fence == 1
    assert (item["state"]["S"], item["worker"]["S"], item["task"]["S"]) == (states.STARTED, "worker@host", "shop.charge")
    assert (item["root"]["S"], item["parent"]["S"], item["tenant"]["S"]) == ("r", "p", "acme")
    assert float(item["sent_at"]["N"]) == 999000.5
    assert int(item["ttl"]["N"]) == 1_000_000 + 86_400
    assert "in_group" not in item
    assert desk.dynamodb.calls == ["update"]


@pytest.mark.parametrize("state", [states.SUCCESS, states.FAILURE, states.REVOKED])
def test_a_finished_job_is_not_run_again(desk: Desk, state: str) -> None:
    claim(desk.first, FakeDelivery())
    desk.finish(state, generation={"N": "1"}, message_id={"S": "m1"})

    assert claim(desk.second, FakeDelivery(message_id="m2")) is Verdict.FINISHED


FAILURE = '{"status": "FAILURE", "result": {"exc_type": "NoCard", "exc_message": ["of ada"], "exc_module": "shop"}, "traceback": "in pay"}'


@pytest.mark.parametrize("known", [{}, {"message_id": {"S": "m1"}}])
def test_a_message_whose_run_failed_and_that_comes_again_is_to_be_moved_with_its_cause(desk: Desk, known: dict[str, Any]) -> None:
    claim(desk.first, FakeDelivery())
    desk.finish(states.FAILURE, attempts={"N": "4"}, result={"S": FAILURE}, **known)

    answer = admission_of(desk.second, "1", FakeDelivery(receive_count=2), LEASE, "other@host")

    assert answer.verdict is Verdict.FAILED
    assert answer.failure == RecordedFailure(exception="shop.NoCard", message="of ada", trace="in pay", attempts=4)


@pytest.mark.parametrize("result", ["", "[]", '{"result": {"exc_type": 3}}', '{"result": "x"}'])
def test_a_failure_that_cannot_be_read_is_one_all_the_same(desk: Desk, result: str) -> None:
    claim(desk.first, FakeDelivery())
    desk.finish(states.FAILURE, result={"S": result}, error={"S": "NoCard: of ada"})

    failure = admission_of(desk.second, "1", FakeDelivery(), LEASE, "other@host").failure

    assert failure is not None
    assert (failure.exception, failure.message) == ("", "NoCard: of ada")


def test_a_run_that_fails_without_a_result_of_its_own_has_failed(desk: Desk) -> None:
    delivery = FakeDelivery()
    claim(desk.first, delivery)
    assert desk.first.close("1", delivery, "ValueError: no")

    failure = admission_of(desk.second, "1", FakeDelivery(receive_count=2), LEASE, "other@host").failure

    assert desk.dynamodb.item("1")["state"]["S"] == states.FAILURE
    assert failure is not None
    assert failure.message == "ValueError: no"


@pytest.mark.parametrize("state", [states.FAILURE, states.RETRY, states.IGNORED])
def test_a_failed_job_that_a_person_sends_back_runs_again(desk: Desk, state: str) -> None:
    claim(desk.first, FakeDelivery(headers={"retries": 3}))
    desk.finish(state, generation={"N": "4"}, message_id={"S": "m1"})
    redriven = FakeDelivery(message_id="m2", is_redriven=True, redrives=1)

    assert claim(desk.second, redriven) is Verdict.RUN
    assert redriven.fence == 2
    assert desk.dynamodb.item("1")["redrives"] == {"N": "1"}


def test_a_redrive_that_was_sent_twice_runs_once_and_the_next_one_again(desk: Desk) -> None:
    claim(desk.first, FakeDelivery(headers={"retries": 3}))
    desk.finish(states.FAILURE, message_id={"S": "m1"})
    claim(desk.first, FakeDelivery(message_id="m2", is_redriven=True, redrives=1))
    copy = FakeDelivery(message_id="m3", is_redriven=True, redrives=1)

    running = admission_of(desk.second, "1", copy, LEASE, "other@host")
    desk.finish(states.FAILURE, message_id={"S": "m2"}, redrives={"N": "1"})

    assert (running.verdict, running.is_copy) == (Verdict.LATER, True)
    assert claim(desk.second, copy) is Verdict.FINISHED
    assert claim(desk.second, FakeDelivery(message_id="m4", is_redriven=True, redrives=2)) is Verdict.RUN


def test_a_job_that_is_sent_back_waits_for_the_lease_of_the_run_that_died(desk: Desk) -> None:
    claim(desk.first, FakeDelivery(headers={"retries": 3}))
    redriven = FakeDelivery(message_id="m2", is_redriven=True, redrives=1)

    assert claim(desk.second, redriven) is Verdict.LATER
    desk.now += LEASE + 1
    assert claim(desk.second, redriven) is Verdict.RUN


def test_a_dead_job_whose_message_is_back_runs_whoever_sent_it(desk: Desk) -> None:
    delivery = FakeDelivery(headers={"retries": 3})
    claim(desk.first, delivery)
    desk.finish(DEAD, generation={"N": "4"})

    assert not desk.first.renew("1", delivery, LEASE)
    assert claim(desk.second, FakeDelivery(message_id="m2", headers={"retries": 3})) is Verdict.RUN


def test_a_successful_job_that_a_person_sends_back_does_not_run_again(desk: Desk) -> None:
    claim(desk.first, FakeDelivery())
    desk.finish(states.SUCCESS, generation={"N": "1"})

    assert claim(desk.second, FakeDelivery(message_id="m2", is_redriven=True, redrives=1)) is Verdict.FINISHED


def test_a_copy_of_a_running_job_is_put_off_until_the_lease_is_over(desk: Desk) -> None:
    claim(desk.first, FakeDelivery())
    desk.now += 20

    answer = admission_of(desk.second, "1", FakeDelivery(message_id="m2"), LEASE, "other@host")

    assert (answer.verdict, answer.is_copy, answer.seconds) == (Verdict.LATER, True, 41)
    assert "worker@host is running it" in answer.reason


def test_the_same_message_elsewhere_is_no_copy(desk: Desk) -> None:
    claim(desk.first, FakeDelivery())

    assert not admission_of(desk.second, "1", FakeDelivery(), LEASE, "other@host").is_copy


def test_the_job_of_a_dead_worker_is_taken_over_with_a_higher_fence(desk: Desk) -> None:
    dead, heir = FakeDelivery(), FakeDelivery(receive_count=2)
    claim(desk.first, dead)
    desk.now += LEASE + 1

    assert claim(desk.second, heir) is Verdict.RUN
    assert (dead.fence, heir.fence) == (1, 2)
    assert not desk.first.renew("1", dead, LEASE)
    assert not desk.first.release("1", dead)
    assert desk.second.renew("1", heir, LEASE)


def test_a_stale_run_cannot_say_anything_after_it_was_taken_over(desk: Desk) -> None:
    claim(desk.first, FakeDelivery())
    stale = {"id": {"S": "1"}, "state": {"S": states.SUCCESS}, "fence": {"N": "1"}}
    desk.now += LEASE + 1
    claim(desk.second, FakeDelivery(receive_count=2))

    with pytest.raises(ClientError, match="ConditionalCheckFailed"):
        desk.dynamodb.put_item(TableName=TABLE, Item=stale, **condition_of(stale))
    assert desk.dynamodb.item("1")["state"]["S"] == states.STARTED


def test_a_renewed_lease_holds_and_a_released_one_is_free(desk: Desk) -> None:
    delivery = FakeDelivery()
    claim(desk.first, delivery)
    desk.now += LEASE - 1
    assert desk.first.renew("1", delivery, LEASE)
    desk.now += LEASE - 1
    assert claim(desk.second, FakeDelivery(receive_count=2)) is Verdict.LATER
    assert desk.first.release("1", delivery)

    assert claim(desk.second, FakeDelivery(receive_count=2)) is Verdict.RUN


def test_a_claim_whose_answer_got_lost_is_ours_when_we_ask_again(desk: Desk) -> None:
    claim(desk.first, FakeDelivery())

    again = FakeDelivery()
    assert claim(desk.first, again) is Verdict.RUN
    assert again.fence == 2
    assert claim(desk.first, FakeDelivery(message_id="m2")) is Verdict.LATER


def test_the_next_attempt_need_not_wait_for_the_end_of_the_one_that_asked_for_it(desk: Desk) -> None:
    claim(desk.first, FakeDelivery(headers={"retries": 0}))

    assert claim(desk.second, FakeDelivery(message_id="m2", headers={"retries": 1})) is Verdict.RUN
    assert claim(desk.first, FakeDelivery(receive_count=2, headers={"retries": 0})) is Verdict.FINISHED


def test_a_copy_of_an_attempt_whose_retry_is_on_its_way_does_not_run(desk: Desk) -> None:
    claim(desk.first, FakeDelivery(headers={"retries": 0}))
    desk.finish(states.RETRY, generation={"N": "1"})

    assert claim(desk.second, FakeDelivery(message_id="m2", headers={"retries": 0})) is Verdict.FINISHED
    assert claim(desk.second, FakeDelivery(message_id="m3", headers={"retries": 1})) is Verdict.RUN


def test_what_replaces_a_job_runs_under_its_id(desk: Desk) -> None:
    replaced = FakeDelivery(headers={"retries": 2})
    claim(desk.first, replaced)
    desk.first.close("1", replaced)

    assert claim(desk.second, FakeDelivery(message_id="m2", headers={"retries": 2})) is Verdict.FINISHED
    assert claim(desk.second, FakeDelivery(message_id="m3", headers={"replaced_task_nesting": 1})) is Verdict.RUN


def test_a_record_of_a_run_without_a_claim_is_respected(desk: Desk) -> None:
    desk.dynamodb.put_item(TableName=TABLE, Item={"id": {"S": "1"}, "state": {"S": states.RETRY}})
    desk.dynamodb.put_item(TableName=TABLE, Item={"id": {"S": "2"}, "state": {"S": states.SUCCESS}})

    assert claim(desk.first, FakeDelivery(headers={"retries": 1})) is Verdict.RUN
    assert claim(desk.first, FakeDelivery(task_id="2")) is Verdict.FINISHED


def test_what_the_table_says_otherwise_is_the_caller_s_to_judge(desk: Desk) -> None:
    desk.dynamodb.failing = client_error("ThrottlingException")

    with pytest.raises(ClientError, match="Throttling"):
        claim(desk.first, FakeDelivery())


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        ({}, {"retries": 1}),
        ({"retries": 1}, {"retries": 2}),
        ({"retries": 900}, {"replaced_task_nesting": 1}),
        ({"retries": None, "replaced_task_nesting": None}, {"retries": 1, "replaced_task_nesting": None}),
    ],
)
def test_a_later_run_has_the_higher_generation(earlier: dict[str, Any], later: dict[str, Any]) -> None:
    assert generation_of(earlier) < generation_of(later)


class Flaky(FakeDynamoDb):
    """Answers from the second call on; of the first, ``lost`` are lost."""

    def __init__(self, lost: Sequence[int], error: Exception) -> None:
        super().__init__()
        self.rounds: list[int] = []
        self._lost = lost
        self._error = error

    def update_items(self, requests: Sequence[dict[str, Any]]) -> list[dict[str, Any] | Exception]:
        self.rounds.append(len(requests))
        answers = super().update_items(requests)
        return [self._error if len(self.rounds) == 1 and at in self._lost else answer for at, answer in enumerate(answers)]


@pytest.mark.parametrize("error", [Unanswered("the connection was closed"), NotSent("refused")])
def test_a_claim_whose_answer_got_lost_is_asked_for_again_and_is_ours(error: Exception) -> None:
    dynamodb = Flaky([0, 2], error)
    claims = Claims(lambda: dynamodb, TABLE, holder="worker/1", ttl=timedelta(days=1))
    deliveries = [FakeDelivery(task_id=str(number), message_id=f"m{number}") for number in range(4)]

    answers = claims.claim([(delivery.task_id, delivery) for delivery in deliveries], LEASE, "w@h")

    assert answers == [RUN] * 4
    assert dynamodb.rounds == [4, 2]
    assert [delivery.fence for delivery in deliveries] == [2, 1, 2, 1]


def test_a_claim_that_timed_out_is_not_asked_for_again() -> None:
    dynamodb = Flaky([0], Unanswered("nothing for two seconds"))
    moments = iter([0.0, 0.0, 2.0, 2.0])
    claims = Claims(lambda: dynamodb, TABLE, holder="worker/1", ttl=timedelta(days=1), clock=lambda: next(moments))

    (answer,) = claims.claim([("1", FakeDelivery())], LEASE, "w@h")

    assert isinstance(answer, Unanswered)
    assert dynamodb.rounds == [1]


def test_a_job_that_is_claimed_again_is_not_found_among_those_that_ended(desk: Desk) -> None:
    ended: dict[str, Any] = {name: {"S": "x"} for name in ("state_shard", "fingerprint_shard", "fingerprint", "error", "result")}
    desk.dynamodb.table.put({"Item": {"id": {"S": "1"}, "state": {"S": states.RETRY}, "generation": {"N": "1"}} | ended})

    assert claim(desk.first, FakeDelivery(headers={"retries": 1})) is Verdict.RUN

    assert not ended.keys() & desk.dynamodb.item("1").keys()
