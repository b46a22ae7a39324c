import uuid
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client

from app.workload.payments import follow_ups, services
from tests.integration.payments.accounts import MakePayment

pytestmark = pytest.mark.django_db


@pytest.fixture
def staff() -> Client:
    client = Client()
    client.force_login(get_user_model().objects.create(username="staff", is_staff=True, is_superuser=True))
    return client


def test_only_staff_sees_payments(owner: Any) -> None:
    client = Client()
    assert client.get("/payments/").status_code == 302
    client.force_login(owner)
    assert client.get("/payments/").status_code in (302, 403)


def test_the_list_shows_payments_and_can_be_narrowed_to_a_state(staff: Client, make_payment: MakePayment) -> None:
    requested, captured = make_payment(), make_payment(amount_minor=1500, currency="jpy")
    services.process_payment(str(captured.pk))

    everything = staff.get("/payments/").content.decode()
    assert str(requested.pk) in everything
    assert "1,500 JPY" in everything
    narrowed = staff.get("/payments/", {"state": "captured"}).content.decode()
    assert str(captured.pk) in narrowed
    assert str(requested.pk) not in narrowed


@pytest.mark.parametrize("query", [{"state": "\0"}, {"state": "x"}, {"page": "x"}, {"page": "-1"}, {"page": "\0"}, {"page": "9" * 30}])
def test_a_strange_query_is_no_error(staff: Client, query: dict[str, str]) -> None:
    assert staff.get("/payments/", query).status_code == 200


def test_a_payment_tells_its_story(staff: Client, make_payment: MakePayment) -> None:
    payment = services.process_payment(str(make_payment().pk))
    follow_ups.update_balance(str(payment.pk))
    page = staff.get(f"/payments/{payment.pk}/").content.decode()
    assert str(payment.transaction_id) in page
    assert "19.99 EUR added to ada." in page
    assert "Not sent yet" in page


def test_a_payment_that_is_not_there_is_not_found(staff: Client) -> None:
    assert staff.get(f"/payments/{uuid.uuid4()}/").status_code == 404


@pytest.mark.parametrize("path", ["payments/payment/", "payments/balance/", "payments/balanceentry/", "api/apitoken/"])
def test_the_admin_shows_money_and_tokens_and_changes_none(staff: Client, make_payment: MakePayment, path: str) -> None:
    payment = services.process_payment(str(make_payment().pk))
    follow_ups.update_balance(str(payment.pk))
    assert staff.get(f"/admin/{path}").status_code == 200
    assert staff.get(f"/admin/{path}add/").status_code == 403
    assert staff.get(f"/admin/payments/payment/{payment.pk}/change/").status_code == 200
    assert staff.post(f"/admin/payments/payment/{payment.pk}/change/", {"state": "failed"}).status_code == 403
