"""Who stands in the list, and whose write may change it."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from app.engine.aws import clients
from app.engine.aws.errors import AwsUnavailable
from app.engine.conf import engine_settings
from app.engine.workers.records import FORGOTTEN_AFTER, record_of
from app.engine.workers.registry import Entry, listed
from benchmarks.fake_aws.refusal import Refusal
from benchmarks.fake_aws.table import Table
from tests.unit.engine.workers.records import NOON, WORKER

KEY = {"hostname": {"S": WORKER.hostname}}


class FakeTable:
    """DynamoDB, as far as the list needs it. ``answers_late`` keeps a write, and lets its caller believe that it failed."""

    class ConditionalCheckFailedException(ClientError):
        """boto3's clients make such a class of each error."""

    def __init__(self) -> None:
        self.exceptions = self
        self.table = Table("workers", ["hostname"])
        self.answers_late = False
        self.under_way: list[dict[str, Any]] = []

    def put_item(self, **request: Any) -> None:
        if self.answers_late:
            self.under_way.append(request)
            raise ClientError({"Error": {"Code": "InternalServerError", "Message": ""}}, "PutItem")
        self._conditionally(lambda: self.table.put(request))

    def delete_item(self, **request: Any) -> None:
        self._conditionally(lambda: self.table.delete(request))

    def arrive(self) -> None:
        """Carry out what was kept."""
        for request in self.under_way:
            try:
                self.table.put(request)
            except Refusal:
                continue

    def _conditionally(self, act: Any) -> None:
        try:
            act()
        except Refusal as refusal:
            raise self.ConditionalCheckFailedException({"Error": {"Code": "ConditionalCheckFailedException"}}, "Write") from refusal


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeTable:
    table = FakeTable()
    monkeypatch.setattr(clients, "dynamodb", lambda _settings: table)
    return table


def entry() -> Entry:
    return Entry(engine_settings(), WORKER.hostname)


def test_a_worker_is_in_the_list_from_its_first_report_until_it_signs_off(fake: FakeTable) -> None:
    ours = entry()
    ours.report(WORKER)
    ours.report(replace(WORKER, busy=2))

    assert record_of(fake.table.get(KEY) or {}).busy == 2
    ours.remove()
    assert fake.table.get(KEY) is None
    ours.remove()


def test_a_report_that_arrives_after_the_good_bye_leaves_no_lost_worker(fake: FakeTable) -> None:
    ours = entry()
    ours.report(WORKER)
    fake.answers_late = True
    with pytest.raises(AwsUnavailable):
        ours.report(WORKER)

    ours.remove()
    fake.arrive()

    assert fake.table.get(KEY) is None


def test_an_item_that_expired_while_its_worker_was_frozen_is_written_anew_by_the_second_report(fake: FakeTable) -> None:
    ours = entry()
    ours.report(WORKER)
    fake.table.clear()

    ours.report(WORKER)
    assert fake.table.get(KEY) is None
    ours.report(WORKER)
    assert fake.table.get(KEY) is not None


def test_a_process_does_not_sign_off_another_one_of_the_same_name(fake: FakeTable) -> None:
    first, second = entry(), entry()
    first.report(WORKER)
    second.report(replace(WORKER, release="v2"))

    first.remove()

    assert record_of(fake.table.get(KEY) or {}).release == "v2"


def test_the_list_tells_the_living_from_the_lost_and_forgets_after_an_hour() -> None:
    beat = replace(WORKER, hostname="beat@one", service="beat", queues=(), slots=0)
    lost = replace(WORKER, hostname="emails@two", seen_at=NOON - timedelta(seconds=20))
    forgotten = replace(WORKER, hostname="emails@three", seen_at=NOON - FORGOTTEN_AFTER)

    found = listed([lost, forgotten, WORKER, beat], NOON)

    assert found.live == (beat, WORKER)
    assert found.lost == (lost,)


def test_skew_is_several_releases_of_one_service_among_those_that_live() -> None:
    second = replace(WORKER, hostname="emails@two", release="v2")
    lost = replace(WORKER, hostname="emails@three", release="v0", seen_at=NOON - timedelta(minutes=1))
    beat = replace(WORKER, hostname="beat@one", service="beat", release="v3")

    assert listed([WORKER, second, lost, beat], NOON).version_skew == {"worker-emails": ("v1", "v2")}
    assert listed([WORKER, lost, beat], NOON).version_skew == {}
