"""What an operator's program does with dead letters, by the API and a real worker."""

import json
import logging
import uuid
from dataclasses import replace
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client

from app.api.tokens import issue_token
from app.engine.conf import engine_settings
from app.engine.dead_letters.clerk import Clerk
from tests.support.eventually import eventually
from tests.support.hostile import encoded, valid_message

ADDRESS = "/api/dead-letters"


def test_dead_letters_are_for_tokens_of_staff(api_client: Any) -> None:
    for path in ("", "/groups", "/default-1", "/orders/1"):
        assert (Client().get(ADDRESS + path).status_code, api_client.get(ADDRESS + path).status_code) == (401, 403)
    for path in ("/redrives", "/discards"):
        assert api_client.post(ADDRESS + path, {"all": True}, content_type="application/json").status_code == 403


@pytest.fixture
def staff(transactional_db: None) -> Client:
    user = get_user_model().objects.create_user("grace", "grace@example.com", "a-long-password", is_staff=True)
    return Client(raise_request_exception=False, headers={"Authorization": f"Bearer {issue_token(user, 'tests')}"})


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, ""),
        ({"dry_run": True}, ""),
        ({"queue": "nowhere"}, "queue"),
        ({"all": "yes"}, "all"),
        ({"all": True, "rate": 0}, "rate"),
        ({"all": True, "rate": "fast"}, "rate"),
        ({"since": "yesterday"}, "since"),
        ({"ids": "default-1"}, "ids"),
        ({"ids": [1]}, "ids.0"),
        ({"ids": ["x"] * 1001}, "ids"),
        ({"fingerprnt": "x"}, "fingerprnt"),
    ],
)
def test_an_order_that_says_nothing_or_nonsense_is_refused_with_the_reason(staff: Client, body: dict[str, Any], field: str) -> None:
    answer = staff.post(ADDRESS + "/redrives", body, content_type="application/json")

    assert answer.status_code == 422, answer.json()
    assert field in {error["field"] for error in answer.json()["errors"]}


def test_nonsense_in_the_address_is_refused(staff: Client) -> None:
    for query in ("cursor=x", "cursor=WzFd", "state=lost", "limit=0", "since=soon", "limit=1000"):
        assert staff.get(f"{ADDRESS}?{query}").status_code == 422, query


def test_letters_are_listed_grouped_and_sent_back_once_by_a_worker(site: Any) -> None:
    stack, problem = site.stack, uuid.uuid4().hex[:12]
    settings = replace(engine_settings(), name_prefix=stack.environment["NAME_PREFIX"], endpoint_url=stack.aws_url)
    cause = {"reason": "failed", "message": "no card", "exception": "ValueError", "fingerprint": problem}
    for _ in range(3):
        stack.sqs.send_message(
            QueueUrl=stack.dead_letter_url("default"),
            MessageBody=encoded(valid_message(id=str(uuid.uuid4()))),
            MessageAttributes={"cause": {"DataType": "String", "StringValue": json.dumps(cause)}},
        )

    def listed(**query: Any) -> Any:
        asked = "&".join(f"{name}={value}" for name, value in {"fingerprint": problem, **query}.items())
        return stack.request("GET", f"{ADDRESS}?{asked}").body

    def indexed() -> int:
        Clerk(settings).look()
        return len(listed()["items"])

    eventually(indexed, 3, within=40)
    first = listed(limit=2)
    second = listed(limit=2, cursor=first["next_cursor"])
    assert (len(first["items"]), len(second["items"]), second["next_cursor"]) == (2, 1, None)
    (group,) = (group for group in stack.request("GET", f"{ADDRESS}/groups").body["items"] if group["fingerprint"] == problem)
    assert (group["count"], group["task"], group["exception"]) == (3, "engine.debug_task", "ValueError")
    letter = first["items"][0]["id"]
    assert stack.request("GET", f"{ADDRESS}/{letter}").body["message"] == "no card"
    assert stack.request("GET", f"{ADDRESS}/default-{uuid.uuid4()}").status == 404

    body = {"fingerprint": problem}
    dry = stack.request("POST", f"{ADDRESS}/redrives", body | {"dry_run": True})
    assert (dry.status, dry.body["selected"]) == (200, 3)
    key = {"Idempotency-Key": uuid.uuid4().hex}
    given, again = (stack.request("POST", f"{ADDRESS}/redrives", body, key) for _ in range(2))
    assert (given.status, given.body["selected"], again.body, again.headers["Idempotent-Replayed"]) == (202, 3, given.body, "true")

    done = eventually(
        lambda: stack.request("GET", given.body["links"]["order"]).body, lambda found: found.get("state") == "succeeded", within=60
    )
    assert (done["report"]["done"], done["report"]["not_found"]) == (3, [])
    assert listed()["items"] == []
    assert {(one["state"], one["by"]) for one in listed(state="redriven")["items"]} == {("redriven", "operator")}
    discarded = stack.request("POST", f"{ADDRESS}/discards", {"ids": [letter]})
    assert (discarded.status, discarded.body["selected"]) == (202, 0)
    assert stack.request("GET", f"{ADDRESS}/orders/{uuid.uuid4()}").status == 404


def test_who_gives_an_order_stands_in_the_log(staff: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr("app.console.api.dead_letters.select", lambda *_, **__: iter(()))
    with caplog.at_level(logging.INFO, "app.console.api.dead_letters"):
        answer = staff.post(ADDRESS + "/discards", {"queue": "default", "reason": "not-json"}, content_type="application/json")

    assert answer.status_code == 202
    (line,) = [record for record in caplog.records if record.message == "dead letter order given"]
    assert (line.by, line.action, line.selection) == ("grace", "discard", "queue default, reason not-json")  # type: ignore[attr-defined]
