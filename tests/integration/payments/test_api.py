"""``/api/payments`` as a program sees it."""

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command
from django.db import connections
from django.test import Client
from django.utils import timezone

from app.api import idempotency
from app.api.models import ApiToken, IdempotentRequest
from app.api.tokens import issue_token
from app.engine.outbox.models import OutboxMessage
from app.workload.payments import api, services
from app.workload.payments.models import Payment

pytestmark = pytest.mark.django_db
several_connections = pytest.mark.django_db(transaction=True)

GOOD: dict[str, Any] = {"amount": 1999, "currency": "eur", "payment_method": "pm_card_visa", "customer_email": "ada@example.com"}
_WRONG_AMOUNTS: tuple[Any, ...] = (0, -1, 100_000_000, 10**30, "12", "1e3", 1.5, 1.0, True, None, [], {})


def post(client: Client, body: Any = None, key: str | None = None, **changes: Any) -> Any:
    content = json.dumps(GOOD | changes) if body is None else body
    headers = {} if key is None else {"Idempotency-Key": key}
    return client.post("/api/payments", content, content_type="application/json", headers=headers)


def refused_fields(response: Any) -> set[str]:
    return {error["field"] for error in response.json()["errors"]}


def assert_problem(response: Any, status: int) -> None:
    assert response.status_code == status, response.content
    assert response["Content-Type"] == "application/problem+json"
    problem = response.json()
    assert problem["status"] == status
    assert problem["title"]
    assert problem["detail"]


def test_a_payment_is_accepted_and_can_be_followed(api_client: Any) -> None:
    response = post(api_client, description="Order 1815")
    assert response.status_code == 201
    accepted = response.json()
    assert accepted["state"] == "requested"
    assert (accepted["amount"], accepted["currency"]) == (1999, "eur")
    assert accepted["links"]["self"] == f"/api/payments/{accepted['id']}"

    services.process_payment(accepted["id"])
    followed = api_client.get(accepted["links"]["self"]).json()
    assert followed["state"] == "captured"
    assert followed["transaction_id"]


def test_a_failed_payment_says_why(api_client: Any) -> None:
    accepted = post(api_client, payment_method="pm_card_chargeDeclinedExpiredCard").json()
    services.process_payment(accepted["id"])
    followed = api_client.get(accepted["links"]["self"]).json()
    assert (followed["state"], followed["failure"]["code"]) == ("failed", "expired_card")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        *(({"amount": amount}, "amount") for amount in _WRONG_AMOUNTS),
        *(({"currency": code}, "currency") for code in ("EUR", "eu", "xxx", "", 1, None)),
        *(
            ({"customer_email": address}, "customer_email")
            for address in ("ada", "a@b", "a@example.com\nBcc: b@example.com", "", "x" * 255 + "@a.de", 5)
        ),
        *(({"payment_method": reference}, "payment_method") for reference in ("", "pm card", "pm/../x", "p" * 256, "pm_ü", None)),
        *(({"description": text}, "description") for text in ("x" * 501, None, 5, "nul \0")),
        ({"owner": 1}, "owner"),
        ({"state": "captured"}, "state"),
        ({"\0": 1}, ""),
    ],
)
def test_impossible_values_are_refused_by_name(api_client: Any, changes: dict[str, Any], field: str) -> None:
    response = post(api_client, **changes)
    assert_problem(response, 422)
    assert field in refused_fields(response)
    assert all(error["reason"] for error in response.json()["errors"])
    assert not Payment.objects.exists()
    assert not OutboxMessage.objects.exists()


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("", 422),
        ("null", 422),
        ("[]", 422),
        ('"text"', 422),
        ("12", 422),
        ("{}", 422),
        ("{", 400),
        ('{"amount": 1e3}', 422),
        ('{"amount": 1, "amount": 2}', 400),
        ('{"description": "\\ud800"}', 422),
        ('{"\\ud800": 1}', 422),
        ("[" * 100_000, 400),
        ('{"description":' + "[" * 100 + "]" * 100 + "}", 422),
        (b'{"description": "\xff"}', 400),
        ("1" * 10_000, 400),
        (json.dumps(GOOD | {"description": "x" * 3_000_000}), 413),
    ],
    ids=lambda value: str(value)[:24],
)
def test_a_body_that_is_no_request_is_never_our_mistake(api_client: Any, body: str | bytes, status: int) -> None:
    assert_problem(post(api_client, body), status)


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/xml", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"]
)
def test_another_content_type_is_refused(api_client: Any, content_type: str) -> None:
    assert_problem(api_client.post("/api/payments", json.dumps(GOOD), content_type=content_type), 415)


def test_two_mistakes_are_told_at_once(api_client: Any) -> None:
    assert refused_fields(post(api_client, amount="x", currency="xxx", surplus=1)) == {"amount", "currency", "surplus"}


@pytest.mark.parametrize(
    "authorization", [None, "", "Bearer", "Bearer x", "Bearer mr_" + "x" * 43, "Basic eDp4", "Bearer mr_\u00e9", "mr_x"]
)
def test_without_a_live_token_there_is_no_answer(db: None, authorization: str | None) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    response = Client(headers=headers).post("/api/payments", json.dumps(GOOD), content_type="application/json")
    assert_problem(response, 401)
    assert response["WWW-Authenticate"] == "Bearer"


def test_a_revoked_token_and_a_token_of_a_former_user_are_dead(api_client: Any) -> None:
    assert api_client.get("/api/payments").status_code == 200
    api_client.owner.is_active = False
    api_client.owner.save()
    assert_problem(api_client.get("/api/payments"), 401)
    api_client.owner.is_active = True
    api_client.owner.save()
    ApiToken.objects.update(revoked_at=timezone.now())
    assert_problem(api_client.get("/api/payments"), 401)


def test_the_use_of_a_token_is_noted_once_a_minute(api_client: Any) -> None:
    api_client.get("/api/payments")
    first = ApiToken.objects.get().last_used_at
    assert first is not None
    api_client.get("/api/payments")
    assert ApiToken.objects.get().last_used_at == first
    ApiToken.objects.update(last_used_at=first - timedelta(minutes=2))
    api_client.get("/api/payments")
    assert (ApiToken.objects.get().last_used_at or first - timedelta(days=1)) >= first


def test_a_token_is_printed_once_and_kept_as_a_hash(db: None, capsys: pytest.CaptureFixture[str]) -> None:
    get_user_model().objects.create(username="grace")
    call_command("create_api_token", "grace", "shop")
    token = capsys.readouterr().out.strip()
    assert Client(headers={"Authorization": f"Bearer {token}"}).get("/api/payments").status_code == 200
    assert token not in str(ApiToken.objects.values())
    with pytest.raises(CommandError, match="no user"):
        call_command("create_api_token", "nobody", "shop")


def test_others_payments_are_not_there(api_client: Any) -> None:
    accepted = post(api_client).json()
    stranger = get_user_model().objects.create(username="eve")
    client = Client(headers={"Authorization": f"Bearer {issue_token(stranger, 'eve')}"})
    assert_problem(client.get(accepted["links"]["self"]), 404)
    assert client.get("/api/payments").json()["items"] == []


@pytest.mark.parametrize(
    "path", ["/api/payments/00000000-0000-4000-8000-000000000000", "/api/nothing", "/api/", "/api/payments/a/b", "/api/payments/"]
)
def test_what_is_not_there_is_a_problem_too(api_client: Any, path: str) -> None:
    assert_problem(api_client.get(path), 404)


@pytest.mark.parametrize("payment_id", ["x", "12", "%00", "7f7c4a3e-0a4e-4d7b-9d0e-2f6f3c1f9a1z", "'--", "%F0%9F%92%B6"])
def test_an_id_that_is_none_is_refused(api_client: Any, payment_id: str) -> None:
    assert_problem(api_client.get(f"/api/payments/{payment_id}"), 422)


def test_a_method_that_an_address_does_not_know_is_a_problem_that_names_the_others(api_client: Any) -> None:
    response = api_client.delete("/api/payments")
    assert_problem(response, 405)
    assert set(response["Allow"].split(", ")) == {"GET", "POST"}


def test_a_list_is_read_page_by_page_newest_first(api_client: Any) -> None:
    ids = [post(api_client, amount=amount).json()["id"] for amount in range(1, 6)]
    moment = timezone.now()
    Payment.objects.filter(pk__in=ids[:3]).update(created_at=moment)

    read: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = api_client.get("/api/payments", {"limit": 2} | ({"cursor": cursor} if cursor else {})).json()
        assert len(page["items"]) <= 2
        read += [payment["id"] for payment in page["items"]]
        cursor = page["next_cursor"]
    assert read == [str(payment.pk) for payment in Payment.objects.order_by("-created_at", "-id")]
    assert set(read) == set(ids)


@pytest.mark.parametrize(
    "query",
    [
        *({"limit": limit} for limit in ("0", "101", "x", "", "1.5", "9" * 5000)),
        *({"cursor": cursor} for cursor in ("x", "", "\0", "é", "a" * 201, "MjAyNi0wMS0wMXxy", "OTk5OTk5fA")),
    ],
)
def test_a_query_that_makes_no_sense_is_refused(api_client: Any, query: dict[str, str]) -> None:
    assert_problem(api_client.get("/api/payments", query), 422)


def test_the_same_key_gets_the_same_answer_and_no_second_payment(api_client: Any) -> None:
    first = post(api_client, key="order-1")
    again = post(api_client, body=json.dumps(dict(reversed(GOOD.items())), indent=2), key="order-1")
    assert (again.status_code, again.json()) == (first.status_code, first.json())
    assert "Idempotent-Replayed" not in first.headers
    assert again["Idempotent-Replayed"] == "true"
    assert Payment.objects.count() == 1
    assert OutboxMessage.objects.count() == 1


def test_a_key_of_another_request_is_refused(api_client: Any) -> None:
    post(api_client, key="order-1")
    response = post(api_client, key="order-1", amount=1)
    assert_problem(response, 422)
    assert response.json()["type"] == "urn:millrace:problem:idempotency-key-reused"
    assert Payment.objects.count() == 1


def test_keys_of_two_owners_are_strangers(api_client: Any) -> None:
    stranger = get_user_model().objects.create(username="eve")
    client = Client(headers={"Authorization": f"Bearer {issue_token(stranger, 'eve')}"})
    assert post(api_client, key="k").json()["id"] != post(client, key="k").json()["id"]


def test_a_refused_request_may_be_corrected_under_its_key(api_client: Any) -> None:
    assert post(api_client, key="order-1", amount=0).status_code == 422
    assert post(api_client, key="order-1").status_code == 201


def test_work_that_failed_leaves_no_answer_behind(api_client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise ConnectionError("ordered")

    api_client.raise_request_exception = False
    with monkeypatch.context() as patched:
        patched.setattr(services, "publish", fail)
        assert_problem(post(api_client, key="order-1"), 500)
    assert not IdempotentRequest.objects.exists()
    assert not Payment.objects.exists()
    assert post(api_client, key="order-1").status_code == 201


@pytest.mark.parametrize("key", ["", "x" * 256, "tab\t", "ü", "\x7f"])
def test_a_key_that_is_not_printable_ascii_of_sensible_length_is_refused(api_client: Any, key: str) -> None:
    response = post(api_client, key=key)
    assert_problem(response, 422)
    assert refused_fields(response) == {"Idempotency-Key"}


@several_connections
def test_twins_at_once_make_one_payment(api_client: Any) -> None:
    barrier = threading.Barrier(6)

    def send(_: int) -> Any:
        client = Client(headers={"Authorization": api_client.defaults["HTTP_AUTHORIZATION"]})
        try:
            barrier.wait()
            return post(client, key="order-1")
        finally:
            connections.close_all()

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(send, range(6)))
    assert [answer.status_code for answer in answers] == [201] * 6
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert sum("Idempotent-Replayed" in answer.headers for answer in answers) == 5
    assert Payment.objects.count() == 1


@several_connections
def test_a_twin_does_not_wait_for_ever(api_client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idempotency, "PATIENCE", timedelta(milliseconds=200))
    is_at_work, may_end = threading.Event(), threading.Event()
    accept = api._accept

    def slowly(*arguments: Any) -> Any:
        is_at_work.set()
        may_end.wait(10)
        return accept(*arguments)

    def send_first() -> Any:
        try:
            return post(Client(headers={"Authorization": api_client.defaults["HTTP_AUTHORIZATION"]}), key="order-1")
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as pool:
        with monkeypatch.context() as patched:
            patched.setattr(api, "_accept", slowly)
            first = pool.submit(send_first)
            assert is_at_work.wait(10)
            patched.setattr(api, "_accept", accept)
            started = time.monotonic()
            impatient = post(api_client, key="order-1")
            assert time.monotonic() - started < 5
            may_end.set()
        assert first.result().status_code == 201
    assert_problem(impatient, 409)
    assert impatient["Retry-After"] == "5"
    assert post(api_client, key="order-1")["Idempotent-Replayed"] == "true"
    assert Payment.objects.count() == 1


def test_keys_are_forgotten_after_a_day(api_client: Any) -> None:
    for number in range(5):
        post(api_client, key=f"order-{number}")
    a_day_ago = timezone.now() - timedelta(hours=24, minutes=1)
    IdempotentRequest.objects.exclude(key="order-0").update(created_at=a_day_ago)
    assert idempotency.forget_old_requests(batch=3, batches=1) == 3
    assert idempotency.forget_old_requests() == 1
    assert idempotency.forget_old_requests() == 0
    assert IdempotentRequest.objects.get().key == "order-0"


def test_the_contract_documents_answers_and_errors(api_client: Any) -> None:
    operation = json.loads(json.dumps(_contract()))["paths"]["/api/payments"]["post"]
    assert {"201", "400", "401", "409", "413", "415", "422"} <= set(operation["responses"])
    assert "application/problem+json" in operation["responses"]["422"]["content"]
    assert {parameter["name"] for parameter in operation["parameters"]} == {"Idempotency-Key"}


def _contract() -> Any:
    from app.config.urls import api as whole_api

    return whole_api.get_openapi_schema()
