import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth import get_user_model
from django.test import Client

from app.engine.aws.errors import AwsUnavailable
from app.workload.integrations import users, views
from app.workload.integrations.endpoints import SHIPPING
from app.workload.integrations.models import PartnerCall
from tests.integration.integrations.conftest import NOBODYS

pytestmark = pytest.mark.django_db


@pytest.fixture
def staff() -> Client:
    client = Client()
    client.force_login(get_user_model().objects.create(username="staff", is_staff=True, is_superuser=True))
    return client


@pytest.mark.parametrize("path", ["", "users/", f"{NOBODYS}/"])
def test_only_staff_sees_them(owner: Any, path: str) -> None:
    client = Client()
    assert client.get(f"/integrations/{path}").status_code == 302
    client.force_login(owner)
    assert client.get(f"/integrations/{path}").status_code in (302, 403)


def test_the_list_shows_breakers_and_calls_and_can_be_narrowed(
    staff: Client, call: Callable[..., PartnerCall], open_breaker: Callable[[str, float], None]
) -> None:
    made = call()
    open_breaker(SHIPPING, time.time())
    everything = staff.get("/integrations/").content.decode()

    assert str(made.pk) in everything
    assert 'badge--bad">Open<' in everything
    assert 'badge--ok">Closed<' in everything
    assert str(made.pk) not in staff.get("/integrations/", {"state": "failed"}).content.decode()


def test_while_dynamodb_is_away_the_calls_are_shown_all_the_same(staff: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def away() -> Any:
        raise AwsUnavailable("no answer")

    monkeypatch.setattr(views, "breaker_states", away)
    assert "DynamoDB does not tell" in staff.get("/integrations/").content.decode()


@pytest.mark.parametrize("query", [{"state": "\0"}, {"state": "x"}, {"page": "x"}, {"page": "-1"}, {"page": "9" * 30}])
def test_a_strange_query_is_no_error(staff: Client, query: dict[str, str]) -> None:
    assert staff.get("/integrations/", query).status_code == 200


def test_a_call_shows_what_was_sent_and_answered_as_text(staff: Client) -> None:
    row = PartnerCall.objects.create(endpoint="shipping_quote", payload={"a": "<script>"}, answer={"price_minor": 610})
    page = staff.get(f"/integrations/{row.pk}/").content.decode()

    assert "&lt;script&gt;" in page
    assert "&quot;price_minor&quot;: 610" in page
    assert staff.get(f"/integrations/{uuid4()}/").status_code == 404


def test_users_are_shown_with_how_far_the_feed_was_read(staff: Client, partner: Any) -> None:
    assert "Never read yet" in staff.get("/integrations/users/").content.decode()
    users.sync_user_data()
    users.sync_individual_user(partner_user_id="u-1", version=1)
    page = staff.get("/integrations/users/").content.decode()

    assert "alan1@example.com" in page
    assert "Read up to" in page


@pytest.mark.parametrize("path", ["partnercall", "partneruser", "synccursor"])
def test_the_admin_shows_and_changes_nothing(staff: Client, path: str) -> None:
    PartnerCall.objects.create(endpoint="shipping_quote", payload={})

    assert staff.get(f"/admin/integrations/{path}/").status_code == 200
    assert staff.get(f"/admin/integrations/{path}/add/").status_code == 403
