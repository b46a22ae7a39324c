"""Results that are stored together, whatever the table answers."""

import time
from collections import Counter
from typing import Any

import pytest
from celery import states

from app.engine.job_ledger import Keeping
from app.engine.ledger.book import condition_of
from app.engine.ledger.groups import ITEMS_PER_WRITE
from app.engine.ledger.writer import Result, ResultWriter
from tests.support.eventually import eventually
from tests.unit.engine.ledger.fake_dynamodb import TABLE, FakeDynamoDb, client_error


class Desk:
    def __init__(self) -> None:
        self.dynamodb = FakeDynamoDb()
        self.kept: list[tuple[str, Keeping]] = []
        self.writer = ResultWriter(lambda: self.dynamodb, TABLE, longest_write_seconds=1)

    def put(self, key: str, *, state: str = states.SUCCESS, fence: int = 1, ours_for: float = 60, size: int = 10) -> None:
        item: dict[str, Any] = {"id": {"S": key}, "state": {"S": state}, "fence": {"N": str(fence)}, "result": {"S": "x" * size}}
        self.writer.put(
            Result(
                item=item,
                then=lambda keeping: self.kept.append((key, keeping)),
                is_ours_until=time.monotonic() + ours_for,
                condition=condition_of(item),
            )
        )

    def outcomes(self) -> Counter[Keeping]:
        return Counter(keeping for _, keeping in self.kept)


@pytest.fixture
def desk() -> Any:
    made = Desk()
    yield made
    made.dynamodb.failing = None
    made.writer.flush(5)


def test_results_of_runs_that_hold_their_claims_share_requests_and_each_is_told(desk: Desk) -> None:
    for number in range(100):
        desk.put(str(number))

    assert desk.writer.flush(5)
    assert desk.outcomes() == {Keeping.STORED: 100}
    assert len(desk.dynamodb.table) == 100
    assert len(desk.dynamodb.calls) <= 100 / ITEMS_PER_WRITE + 3


def test_a_result_whose_claim_may_be_over_is_written_under_its_condition(desk: Desk) -> None:
    desk.dynamodb.put_item(TableName=TABLE, Item={"id": {"S": "taken over"}, "state": {"S": states.STARTED}, "fence": {"N": "2"}})
    for key in ("taken over", "free"):
        desk.put(key, ours_for=0.5)

    assert desk.writer.flush(5)
    assert dict(desk.kept) == {"taken over": Keeping.LOST, "free": Keeping.STORED}
    assert desk.dynamodb.item("taken over")["state"]["S"] == states.STARTED


def test_what_dynamodb_did_not_get_round_to_is_written_again(desk: Desk) -> None:
    desk.dynamodb.unprocessed = {"3", "7"}
    for number in range(10):
        desk.put(str(number))

    assert desk.writer.flush(5)
    assert desk.outcomes() == {Keeping.STORED: 10}
    assert len(desk.dynamodb.table) == 10


def test_while_the_table_is_away_results_wait_and_none_is_lost(desk: Desk) -> None:
    desk.dynamodb.failing = client_error("InternalServerError", status=500)
    for number in range(30):
        desk.put(str(number), ours_for=60 if number % 2 else 0)
    eventually(lambda: len(desk.dynamodb.calls), lambda calls: calls >= 2)
    assert not desk.writer.flush(0.1)
    assert desk.kept == []

    desk.dynamodb.failing = None
    eventually(desk.outcomes, {Keeping.STORED: 30}, within=15)
    assert len(desk.dynamodb.table) == 30


def test_one_result_that_no_table_could_take_does_not_keep_its_neighbours_out(desk: Desk) -> None:
    for number in range(5):
        desk.put(str(number), size=500_000 if number == 2 else 10)

    assert desk.writer.flush(5)
    assert {key for key, keeping in desk.kept if keeping is Keeping.REFUSED} == {"2"}
    assert desk.outcomes()[Keeping.STORED] == 4


def test_two_results_of_one_job_are_written_one_after_the_other(desk: Desk) -> None:
    desk.dynamodb.failing = client_error("ThrottlingException")
    desk.put("1", state=states.FAILURE)
    desk.put("1", state=states.SUCCESS)
    eventually(lambda: bool(desk.dynamodb.calls))
    desk.dynamodb.failing = None

    eventually(desk.outcomes, {Keeping.STORED: 2}, within=15)
    assert desk.dynamodb.item("1")["state"]["S"] == states.SUCCESS


def test_a_listener_that_raises_does_not_have_a_result_written_twice(desk: Desk) -> None:
    item: dict[str, Any] = {"id": {"S": "1"}}

    def burst(_: Keeping) -> None:
        raise ValueError("cannot bear it")

    desk.writer.put(Result(item=item, then=burst, is_ours_until=time.monotonic() + 60, condition={}))

    assert desk.writer.flush(5)
    assert desk.dynamodb.calls == ["put"]
