"""The two places where a breaker's record may stand keep the same promises."""

import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import boto3
import pytest

from app.engine.circuit_breaker.own_records import OwnRecords
from app.engine.circuit_breaker.policy import BreakerPolicy
from app.engine.circuit_breaker.record import Records, State
from app.engine.circuit_breaker.shared_records import SharedRecords
from tests.support.environment import REGION

POLICY = BreakerPolicy(failures=2, pause=timedelta(seconds=60), probe_lease=timedelta(seconds=30))
NOW = 1_800_000_000.0
_numbers = itertools.count(1)


@pytest.fixture(params=["own", "shared"])
def records(request: pytest.FixtureRequest) -> Records:
    if request.param == "own":
        return OwnRecords()
    return request.getfixturevalue("shared")  # type: ignore[no-any-return]


@pytest.fixture
def shared(aws: str) -> SharedRecords:
    client: Any = boto3.client("dynamodb", endpoint_url=aws, region_name=REGION, aws_access_key_id="test", aws_secret_access_key="test")
    table = f"breakers-{next(_numbers)}"
    client.create_table(
        TableName=table,
        KeySchema=[{"AttributeName": "name", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "name", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    return SharedRecords(lambda: client, table)


def opened(records: Records) -> None:
    for _ in range(POLICY.failures):
        records.count_failure("partner", POLICY, "500", NOW)


def test_what_nobody_wrote_is_closed(records: Records) -> None:
    record = records.read("partner")

    assert (record.name, record.state(NOW), record.failures) == ("partner", State.CLOSED, 0)


def test_the_last_failure_that_is_borne_opens_it_and_later_ones_change_nothing(records: Records) -> None:
    first = records.count_failure("partner", POLICY, "500", NOW)
    second = records.count_failure("partner", POLICY, "503", NOW + 1)
    late = records.count_failure("partner", POLICY, "504", NOW + 30)

    assert first is not None
    assert second is not None
    assert (first.state(NOW), second.state(NOW), late) == (State.CLOSED, State.OPEN, None)
    record = records.read("partner")
    assert (record.open_until, record.openings, record.reason) == (NOW + 61, 1, "503")
    assert record.state(NOW + 61) is State.HALF_OPEN


def test_a_success_forgets_failures_and_never_closes_what_is_open(records: Records) -> None:
    records.count_failure("partner", POLICY, "500", NOW)
    records.forget_failures("partner", NOW)
    assert records.read("partner").failures == 0

    opened(records)
    records.forget_failures("partner", NOW)
    assert records.read("partner").state(NOW) is State.OPEN


def test_no_probe_leaves_before_the_pause_is_over_or_while_another_one_is_under_way(records: Records) -> None:
    opened(records)

    assert records.take_probe("partner", POLICY, "early", NOW + 59).probe == ""
    assert records.take_probe("partner", POLICY, "mine", NOW + 60).probe == "mine"
    assert records.take_probe("partner", POLICY, "second", NOW + 89).probe == "mine"
    assert records.take_probe("partner", POLICY, "next", NOW + 90).probe == "next"
    assert records.settle("partner", "mine", NOW + 91) is False
    assert records.settle("partner", "next", NOW + 91) is True
    assert records.take_probe("partner", POLICY, "late", NOW + 92).state(NOW + 92) is State.CLOSED


def test_a_probe_of_a_breaker_that_nobody_knows_finds_it_closed(records: Records) -> None:
    assert records.take_probe("unknown", POLICY, "mine", NOW).state(NOW) is State.CLOSED


def test_a_probe_that_fails_opens_it_for_longer_if_it_is_still_the_probe(records: Records) -> None:
    opened(records)
    held = records.take_probe("partner", POLICY, "mine", NOW + 60)
    again = records.open_again(held, POLICY, "502", NOW + 61)

    assert again is not None
    assert (again.openings, again.open_until, again.probe, again.reason) == (2, NOW + 61 + 120, "", "502")
    assert records.open_again(held, POLICY, "502", NOW + 62) is None


def test_a_probe_that_is_given_back_is_anybody_s(records: Records) -> None:
    opened(records)
    records.take_probe("partner", POLICY, "mine", NOW + 60)
    records.return_probe("partner", "another's", NOW + 60)
    assert records.take_probe("partner", POLICY, "next", NOW + 61).probe == "mine"

    records.return_probe("partner", "mine", NOW + 61)
    assert records.take_probe("partner", POLICY, "next", NOW + 61).probe == "next"


def test_of_many_at_the_same_moment_one_gets_the_probe(records: Records) -> None:
    opened(records)
    with ThreadPoolExecutor(8) as threads:
        taken = list(threads.map(lambda number: records.take_probe("partner", POLICY, f"t{number}", NOW + 60).probe, range(32)))

    assert len(set(taken)) == 1


def test_a_person_closes_any_that_is_known(shared: SharedRecords) -> None:
    assert shared.reset("partner", NOW) is False
    opened(shared)

    assert shared.reset("partner", NOW) is True
    assert shared.read("partner").state(NOW) is State.CLOSED


def test_several_are_read_by_one_request_in_the_order_of_their_names(shared: SharedRecords) -> None:
    opened(shared)

    assert [record.failures for record in shared.read_all(["unknown", "partner", "unknown"])] == [0, 2, 0]


def test_what_is_open_outlives_its_pause_in_the_table(shared: SharedRecords, make_item: Callable[[str], Any]) -> None:
    opened(shared)

    assert int(make_item("partner")["ttl"]["N"]) == NOW + 7 * 24 * 3600


@pytest.fixture
def make_item(shared: SharedRecords) -> Callable[[str], Any]:
    client: Any = shared._client()
    return lambda name: client.get_item(TableName=shared._table, Key={"name": {"S": name}})["Item"]
