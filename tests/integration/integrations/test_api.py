"""``/api/integrations`` as a program sees it."""

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client

from app.engine.outbox.models import OutboxMessage
from app.workload.integrations.endpoints import SHIPPING
from app.workload.integrations.models import PartnerCall
from tests.integration.integrations.conftest import NOBODYS, PAYLOAD

pytestmark = pytest.mark.django_db
GOOD = {"endpoint": "shipping_quote", "payload": PAYLOAD}


def post(client: Client, body: Any, **headers: str) -> Any:
    content = body if isinstance(body, str | bytes) else json.dumps(body)
    return client.post("/api/integrations/calls", content, content_type="application/json", headers=headers)


def test_a_call_is_accepted_made_and_followed(api_client: Any, call: Callable[..., PartnerCall], partner: Any) -> None:
    accepted = post(api_client, GOOD, **{"Idempotency-Key": "one"})
    again = post(api_client, GOOD, **{"Idempotency-Key": "one"})

    assert (accepted.status_code, accepted.json()["state"]) == (201, "requested")
    assert again.json() == accepted.json()
    assert OutboxMessage.objects.count() == 1
    call(accepted.json()["id"])
    followed = api_client.get(accepted.json()["links"]["self"]).json()
    assert (followed["state"], followed["status"], followed["answer"]["currency"]) == ("succeeded", 200, "eur")


ANSWERED_WITHIN_SECONDS = 0.1
TRIES = 8
_WRONG_ENDPOINTS: tuple[Any, ...] = ("", "shipping_quotes", "user_changes", "http://127.0.0.1/", "\0", "x" * 101, 1, None, [], {})
_WRONG_PAYLOADS: tuple[Any, ...] = ([], "x", 1, None, {}, {"url": "http://169.254.169.254/"})
_WRONG_VALUES: dict[str, tuple[Any, ...]] = {
    "country": ("de", "DEU", "", 1, None, "D\n"),
    "postcode": ("", "1" * 13, "\0\0", "10115\n", 10115, None, "x" * 300_000),
    "weight_grams": (0, -1, 70_001, 10**30, "12", 1.5, True, None, []),
    "url": ("http://127.0.0.1/",),
}
BAD: list[Any] = [
    *("", "{", "[]", "null", '"x"', "1", "\xff", '{"endpoint": "shipping_quote"}', '{"endpoint": NaN}', "[" * 5000, '{"a":' * 5000),
    '{"endpoint": "shipping_quote", "endpoint": "shipping_quote", "payload": {}}',
    *({**GOOD, "endpoint": endpoint} for endpoint in _WRONG_ENDPOINTS),
    *({**GOOD, "payload": payload} for payload in _WRONG_PAYLOADS),
    *({**GOOD, "payload": {**PAYLOAD, field: value}} for field, values in _WRONG_VALUES.items() for value in values),
    *({**GOOD, extra: 1} for extra in ("url", "headers", "owner")),
]


@pytest.mark.parametrize("body", BAD, ids=range(len(BAD)))
def test_bad_input_is_told_at_once_and_starts_nothing(api_client: Any, body: Any) -> None:
    api_client.get("/api/integrations/endpoints")  # what is imported first is not counted
    took: list[float] = []
    # On a busy machine one of several tells how long it takes.
    while len(took) < TRIES and min(took, default=1.0) > ANSWERED_WITHIN_SECONDS:
        began = time.monotonic()
        response = post(api_client, body)
        took.append(time.monotonic() - began)

    assert 400 <= response.status_code < 500, response.content
    problem = response.json()
    assert problem["detail"]
    if response.status_code == 422:
        assert all(error["reason"] for error in problem["errors"])
    assert min(took) <= ANSWERED_WITHIN_SECONDS
    assert (OutboxMessage.objects.count(), PartnerCall.objects.count()) == (0, 0)


def test_the_field_of_a_payload_is_named(api_client: Any) -> None:
    response = post(api_client, {**GOOD, "payload": {**PAYLOAD, "weight_grams": 0}})

    assert response.json()["errors"] == [{"where": "body", "field": "payload.weight_grams", "reason": "expected 1 or more"}]


@pytest.mark.parametrize("path", ["calls/x", "calls?limit=0", "calls?limit=x", "calls?cursor=x", "calls?cursor=%00", f"calls/{NOBODYS}"])
def test_a_strange_address_is_told(api_client: Any, path: str) -> None:
    assert api_client.get(f"/api/integrations/{path}").status_code in (404, 422)


def test_calls_of_others_are_not_there(api_client: Any) -> None:
    other = get_user_model().objects.create(username="other")
    row = PartnerCall.objects.create(owner=other, endpoint="shipping_quote", payload={})
    nobody_s = PartnerCall.objects.create(endpoint="shipping_quote", payload={})

    assert api_client.get("/api/integrations/calls").json()["items"] == []
    assert {api_client.get(f"/api/integrations/calls/{one.pk}").status_code for one in (row, nobody_s)} == {404}


@pytest.mark.parametrize("path", ["calls", "endpoints", "breakers", f"calls/{NOBODYS}"])
def test_without_a_token_nothing_is_told(path: str) -> None:
    assert Client().get(f"/api/integrations/{path}").status_code == 401
    assert post(Client(), GOOD).status_code == 401


def test_pages_of_calls_lead_to_the_end(api_client: Any) -> None:
    made = {str(PartnerCall.objects.create(owner=api_client.owner, endpoint="shipping_quote", payload={}).pk) for _ in range(5)}
    seen, cursor = [], ""
    while True:
        page = api_client.get("/api/integrations/calls", {"limit": 2} | ({"cursor": cursor} if cursor else {})).json()
        seen += [item["id"] for item in page["items"]]
        if (cursor := page["next_cursor"]) is None:
            break

    assert (set(seen), len(seen)) == (made, 5)


def test_endpoints_say_what_they_take_and_name_no_address(api_client: Any) -> None:
    response = api_client.get("/api/integrations/endpoints")

    (endpoint,) = response.json()["items"]
    assert endpoint["name"] == "shipping_quote"
    assert set(endpoint["payload_schema"]["required"]) == {"country", "postcode", "weight_grams"}
    assert "http" not in response.content.decode()


def test_breakers_say_how_they_stand(api_client: Any, open_breaker: Callable[[str, float], None]) -> None:
    open_breaker(SHIPPING, time.time())

    shipping, directory = api_client.get("/api/integrations/breakers").json()["items"]
    assert (shipping["state"], shipping["failures"], shipping["endpoints"]) == ("open", 5, ["shipping_quote"])
    assert 50 < shipping["probe_in_seconds"] <= 60
    assert (directory["state"], directory["changed_at"]) == ("closed", None)
