"""``/api/mailings`` as a program sees it, and the pages as staff does."""

import json
import uuid
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client

from app.api.tokens import issue_token
from app.engine.outbox.models import OutboxMessage
from app.workload.mailings import services
from app.workload.mailings.models import Campaign, Mail
from tests.integration.mailings.conftest import NEWS
from tests.integration.mailings.walking import work_off
from tests.support.mail_server import MailServer
from tests.support.quickly import quickly

pytestmark = pytest.mark.django_db

GOOD: dict[str, Any] = {"name": "Autumn", "template": "newsletter", "context": NEWS, "recipients": ["ada@example.com", "alan@example.com"]}


def post(client: Client, body: Any = None, path: str = "/api/mailings", **headers: str) -> Any:
    content = body if isinstance(body, str | bytes) else json.dumps(GOOD if body is None else body)
    return client.post(path, content, content_type="application/json", headers=headers)


def without(left_out: str, /, **more: Any) -> dict[str, Any]:
    return {key: value for key, value in GOOD.items() if key != left_out} | more


def test_a_campaign_is_made_started_and_followed(client: Client, server: MailServer) -> None:
    made = post(client)
    assert made.status_code == 201
    campaign = made.json()
    assert (campaign["state"], campaign["totals"]["total"], campaign["progress"]) == ("draft", 2, None)
    assert not OutboxMessage.objects.exists()
    added = post(client, {"recipients": ["ADA@example.com", "grace@example.com"]}, f"{campaign['links']['self']}/recipients")
    assert added.json()["totals"]["total"] == 3
    assert post(client, "", f"{campaign['links']['self']}/start").json()["state"] == "running"
    assert post(client, "", f"{campaign['links']['self']}/start").json()["state"] == "running"
    assert OutboxMessage.objects.count() == 1
    work_off()
    followed = client.get(campaign["links"]["self"]).json()
    assert (followed["state"], followed["totals"]["sent"], followed["totals"]["success_percent"]) == ("finished", 3, 100.0)
    assert followed["progress"] == {"current": 3, "total": 3, "percent": 100}
    assert sorted(server.recipients()) == ["ada@example.com", "alan@example.com", "grace@example.com"]


MAIL: dict[str, Any] = {"template": "apology", "event": "apology:1815", "context": {"order_id": "1815", "reason": "It is sold out."}}


def test_one_user_is_mailed_once_per_event(client: Client, owner: Any, server: MailServer) -> None:
    asked = [post(client, MAIL | {"user_id": owner.pk}, "/api/mailings/mails") for _ in range(2)]
    assert [(answer.status_code, answer.json()["state"]) for answer in asked] == [(201, "pending")] * 2
    assert OutboxMessage.objects.count() == 1
    work_off()
    told = client.get(asked[0].json()["links"]["self"])
    assert (told.status_code, told.json()["state"], told.json()["reason"]) == (200, "sent", None)
    assert server.recipients() == ["owner@example.com"]

    another = post(client, MAIL | {"user_id": owner.pk, "context": {"order_id": "1815", "reason": "Broken."}}, "/api/mailings/mails")
    assert another.status_code == 409
    assert "another user, template or context" in another.json()["detail"]
    assert client.get("/api/mailings/mails/apology:1").status_code == 404
    assert client.get("/api/mailings/mails/%00").status_code in (404, 422)


@pytest.mark.parametrize(
    "changes",
    [
        {"user_id": 10**9},
        {"user_id": "1"},
        {"user_id": 2**63},
        {"user_id": 0},
        {"template": "gossip"},
        {"template": 1},
        {"event": ""},
        {"event": "e" * 201},
        {"event": "a/b"},
        {"event": "nul\0"},
        {"context": {}},
        {"context": {"order_id": "1815", "reason": "x", "more": 1}},
        {"context": None},
        {"from": "eve@example.com"},
    ],
    ids=str,
)
def test_a_mail_that_makes_no_sense_is_refused_at_once_and_enqueues_nothing(client: Client, owner: Any, changes: dict[str, Any]) -> None:
    response = quickly(lambda: post(client, MAIL | {"user_id": owner.pk} | changes, "/api/mailings/mails"))
    assert response.status_code == 422, response.content
    assert response.json()["errors"]
    assert not Mail.objects.exists()
    assert not OutboxMessage.objects.exists()


def test_who_may_not_mail_users_does_not(db: None) -> None:
    nobody = get_user_model().objects.create(username="nobody", email="nobody@example.com")
    client = Client(headers={"Authorization": f"Bearer {issue_token(nobody, 'tests')}"})
    refused = post(client, MAIL | {"user_id": nobody.pk}, "/api/mailings/mails")
    assert refused.status_code == 403
    assert "mailings.add_mail" in refused.json()["detail"]
    assert client.get("/api/mailings/mails/apology:1815").status_code == 403
    assert post(Client(), MAIL | {"user_id": nobody.pk}, "/api/mailings/mails").status_code == 401


def test_an_audience_is_found_at_the_start(client: Client, server: MailServer) -> None:
    made = post(client, without("recipients", audience={"is_staff": False})).json()
    assert made["totals"]["total"] == 0
    get_user_model().objects.create(username="ada", email="ada@example.com")
    post(client, "", f"{made['links']['self']}/start")
    work_off()
    assert sorted(server.recipients()) == ["ada@example.com", "owner@example.com"]


@pytest.mark.parametrize(
    ("before", "verb", "status"),
    [
        ((), "pause", 409),
        (("start",), "pause", 200),
        (("start", "pause"), "pause", 200),
        (("start", "pause"), "start", 200),
        (("start", "pause"), "cancel", 200),
        (("cancel",), "cancel", 200),
        (("cancel",), "start", 409),
        (("cancel",), "pause", 409),
        (("start",), "recipients", 409),
    ],
)
def test_a_verb_that_does_not_fit_the_state_is_refused(client: Client, before: tuple[str, ...], verb: str, status: int) -> None:
    address = post(client).json()["links"]["self"]
    for earlier in before:
        assert post(client, "", f"{address}/{earlier}").status_code == 200
    response = post(client, {"recipients": ["a@example.com"]} if verb == "recipients" else "", f"{address}/{verb}")
    assert response.status_code == status
    assert status == 200 or response.json()["detail"]


def test_the_same_key_makes_one_campaign(client: Client) -> None:
    first, again = (post(client, **{"Idempotency-Key": "autumn"}) for _ in range(2))
    assert first.json() == again.json()
    assert Campaign.objects.count() == 1


_NO_NAMES: tuple[Any, ...] = ("", "x" * 151, None, 5, "a\nb", "nul \0", "\ud800")
_NO_TEMPLATES: tuple[Any, ...] = ("gossip", "", None, 5, "x" * 65)
_NO_CONTEXTS: tuple[Any, ...] = (
    None, [], "x", {}, NEWS | {"more": 1}, NEWS | {"headline": 5}, NEWS | {"headline": "a\nBcc: b"}, NEWS | {"text": "x" * 20_001},
)  # fmt: skip
_NO_LISTS: tuple[Any, ...] = (
    None, [], "ada@example.com", [5], [None], ["ada"], [""], ["a@b"], ["a@example.com\nBcc: b@example.com"], ["x" * 255 + "@example.com"],
    [["a@example.com"]], ["nul\0@example.com"], [f"a{number}@example.com" for number in range(5001)],
)  # fmt: skip
_NO_AUDIENCES: tuple[Any, ...] = (
    [], "all", {"joined_since": "yesterday"}, {"joined_since": 5}, {"joined_since": "9" * 41}, {"is_staff": "yes"}, {"is_staff": 1}, {"sql": "1"},
)  # fmt: skip


@pytest.mark.parametrize(
    ("body", "status"),
    [
        *((without("name", name=value), 422) for value in _NO_NAMES),
        *((without("template", template=value), 422) for value in _NO_TEMPLATES),
        *((without("context", context=value), 422) for value in _NO_CONTEXTS),
        *((without("recipients", recipients=value), 422) for value in _NO_LISTS),
        *((without("recipients", audience=value), 422) for value in _NO_AUDIENCES),
        *((without(name), 422) for name in GOOD),
        (GOOD | {"audience": {}}, 422),
        (GOOD | {"owner": 1}, 422),
        (GOOD | {"state": "running"}, 422),
        *((body, 422) for body in ("null", "[]", "12", '"text"', "{}")),
        *((body, 400) for body in ("{", '{"name": "a", "name": "b"}', "[" * 100_000, b'{"name": "\xff"}', "1" * 10_000)),
        (json.dumps(GOOD | {"name": "x" * 300_000}), 413),
    ],
    ids=lambda value: str(value)[:50].encode("ascii", "replace").decode(),
)
def test_bad_input_is_refused_at_once_with_a_reason_and_enqueues_nothing(client: Client, body: Any, status: int) -> None:
    response = quickly(lambda: post(client, body))
    assert response.status_code == status, response.content
    assert response.json()["detail"]
    assert not Campaign.objects.exists()
    assert not OutboxMessage.objects.exists()


def test_a_long_list_with_one_mistake_at_its_end_names_it(client: Client) -> None:
    response = post(client, GOOD | {"recipients": [f"reader{number}@example.com" for number in range(4999)] + ["x"]})
    assert [error["field"] for error in response.json()["errors"]] == ["recipients.4999"]
    assert not Mail.objects.exists()


@pytest.mark.parametrize("verb", ["", "/start", "/pause", "/cancel", "/recipients"])
def test_others_campaigns_are_not_there(client: Client, verb: str) -> None:
    address = post(client).json()["links"]["self"]
    eve = get_user_model().objects.create(username="eve", is_superuser=True)
    stranger = Client(headers={"Authorization": f"Bearer {issue_token(eve, 'eve')}"})
    for there in (address, f"/api/mailings/{uuid.uuid4()}"):
        response = post(stranger, {"recipients": ["a@example.com"]}, there + verb) if verb else stranger.get(there)
        assert response.status_code == 404
        assert response.json()["detail"]
    assert stranger.get("/api/mailings").json()["items"] == []
    assert Campaign.objects.get().state == "draft"
    assert not OutboxMessage.objects.exists()


def test_who_has_not_the_right_makes_and_starts_nothing(client: Client, owner: Any) -> None:
    address = post(client).json()["links"]["self"]
    owner.is_superuser = False
    owner.save()
    for path, body in (("/api/mailings", GOOD), (f"{address}/start", "")):
        response = post(client, body, path)
        assert response.status_code == 403
        assert "mailings.add_campaign" in response.json()["detail"]
    assert post(Client(), GOOD).status_code == 401
    assert not OutboxMessage.objects.exists()


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=x", "cursor=x", "cursor=%00"])
def test_a_query_that_makes_no_sense_is_refused(client: Client, query: str) -> None:
    assert client.get(f"/api/mailings?{query}").status_code == 422
    assert client.get("/api/mailings/x").status_code == 422


def test_a_list_is_read_page_by_page(client: Client) -> None:
    made = [post(client, GOOD | {"name": f"campaign {number}"}).json()["id"] for number in range(5)]
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = client.get("/api/mailings", {"limit": 2} | ({"cursor": cursor} if cursor else {})).json()
        seen += [item["id"] for item in page["items"]]
        cursor = page["next_cursor"]
    assert seen == made[::-1]


# -- pages ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def staff(db: None) -> Client:
    client = Client()
    client.force_login(get_user_model().objects.create(username="staff", is_staff=True, is_superuser=True))
    return client


def test_staff_sees_campaigns_and_who_did_not_get_it(staff: Client, owner: Any, server: MailServer) -> None:
    campaign = services.create_campaign(
        owner=owner, name="Autumn", template_id="newsletter", context=NEWS, addresses=["ada@example.com", "unknown@example.com"]
    )
    assert "Autumn" in staff.get("/mailings/").content.decode()
    assert "Autumn" not in staff.get("/mailings/", {"state": "finished"}).content.decode()
    services.start(campaign.pk)
    work_off()
    for path in (f"/mailings/{campaign.pk}/", f"/mailings/{campaign.pk}/live/"):
        page = staff.get(path).content.decode()
        assert "unknown@example.com" in page
        assert "no such mailbox" in page
        assert "2 of 2, 100 %" in page
    assert "2 of 2" in staff.get("/mailings/").content.decode()
    assert staff.get(f"/mailings/{uuid.uuid4()}/").status_code == 404
    for query in ({"state": "\0"}, {"page": "x"}, {"page": "-1"}):
        assert staff.get("/mailings/", query).status_code == 200


def test_others_do_not(owner: Any) -> None:
    owner.is_superuser = False
    owner.save()
    client = Client()
    for path in ("/mailings/", f"/mailings/{uuid.uuid4()}/", f"/mailings/{uuid.uuid4()}/live/"):
        assert client.get(path).status_code == 302
    client.force_login(owner)
    assert client.get("/mailings/").status_code in (302, 403)


def test_the_admin_takes_a_person_s_word_about_uncertain_mails_and_changes_nothing_else(
    staff: Client, owner: Any, server: MailServer
) -> None:
    campaign = services.create_campaign(
        owner=owner, name="Autumn", template_id="newsletter", context=NEWS, addresses=["silent@example.com", "unknown@example.com"]
    )
    services.start(campaign.pk)
    work_off()
    every = [mail.pk for mail in Mail.objects.all()]
    done = staff.post("/admin/mailings/mail/", {"action": "they_have_it", "_selected_action": every}, follow=True)
    assert "Noted of 1 uncertain mail(s)." in done.content.decode()
    assert set(Mail.objects.values_list("state", flat=True)) == {"sent", "refused"}
    for model in ("campaign", "mail", "suppression"):
        assert staff.get(f"/admin/mailings/{model}/").status_code == 200
    assert staff.get("/admin/mailings/campaign/add/").status_code == 403
