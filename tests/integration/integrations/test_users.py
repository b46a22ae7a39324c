"""The partner's users, taken over: paged, from a cursor, the newest version wins."""

import itertools
import json
from typing import Any

import pytest

from app.engine.outbox.models import OutboxMessage
from app.workload.integrations import partner as partner_api
from app.workload.integrations import users
from app.workload.integrations.errors import PartnerFails
from app.workload.integrations.models import PartnerUser, SyncCursor

pytestmark = pytest.mark.django_db
_numbers = itertools.count(1)


def published(task: str = "integrations.sync_individual_user") -> list[dict[str, Any]]:
    return [json.loads(message.body)[1] for message in OutboxMessage.objects.filter(task=task).order_by("id")]


@pytest.fixture
def at_the_end() -> SyncCursor:
    """What other tests changed at the partner is behind the cursor."""
    users.sync_user_data()
    OutboxMessage.objects.all().delete()
    return SyncCursor.objects.get()


def changed(partner: Any, count: int, name: str = "Ada") -> list[str]:
    names = [f"t-{next(_numbers)}" for _ in range(count)]
    partner.change(*({"id": one, "name": name, "email": f"{one}@example.com"} for one in names))
    return names


def test_each_user_that_changed_since_the_last_success_has_one_job(partner: Any, at_the_end: SyncCursor) -> None:
    ids = changed(partner, 7)
    pulled = users.sync_user_data(per_page=3)

    assert (pulled.pages, pulled.users) == (3, 7)
    assert [job["partner_user_id"] for job in published()] == ids
    assert users.sync_user_data(per_page=3).users == 0
    assert SyncCursor.objects.get().cursor != at_the_end.cursor


def test_a_failure_half_way_keeps_the_good_pages_and_the_next_run_goes_on(partner: Any, at_the_end: SyncCursor) -> None:
    ids = changed(partner, 5)
    assert users.sync_user_data(per_page=2, pages=1).users == 2
    partner.fault("changes", "error_500")
    with pytest.raises(PartnerFails):
        users.sync_user_data(per_page=2)
    users.sync_user_data(per_page=2)

    assert [job["partner_user_id"] for job in published()] == ids
    assert len(published("integrations.sync_user_data")) == 1


def test_of_two_runs_one_publishes(partner: Any, at_the_end: SyncCursor, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = changed(partner, 2)
    original = partner_api.changes_after

    def overtaken(cursor: str, limit: int) -> Any:
        page = original(cursor, limit)
        monkeypatch.setattr(partner_api, "changes_after", original)
        users.sync_user_data()
        return page

    monkeypatch.setattr(partner_api, "changes_after", overtaken)
    assert users.sync_user_data().users == 0
    assert [job["partner_user_id"] for job in published()] == ids


def test_a_user_is_taken_over_once_and_the_newest_version_wins(partner: Any) -> None:
    (one,) = changed(partner, 1, name="Ada")
    asked = len(partner.journal("user"))
    assert users.sync_individual_user(partner_user_id=one, version=1) == "updated"
    version = PartnerUser.objects.get(partner_id=one).version
    assert users.sync_individual_user(partner_user_id=one, version=version) == "known"
    assert len(partner.journal("user")) == asked + 1

    partner.change({"id": one, "name": "Ada Lovelace", "email": "ada@example.com"})
    assert users.sync_individual_user(partner_user_id=one, version=version + 1) == "updated"
    assert PartnerUser.objects.get(partner_id=one).name == "Ada Lovelace"
    PartnerUser.objects.filter(partner_id=one).update(version=10**9, name="newer")
    assert users.sync_individual_user(partner_user_id=one, version=10**9 + 1) == "older"
    assert PartnerUser.objects.get(partner_id=one).name == "newer"


def test_a_user_that_the_partner_does_not_know_is_nobody_s_failure(partner: Any) -> None:
    assert users.sync_individual_user(partner_user_id="no/such?user", version=1) == "gone"
