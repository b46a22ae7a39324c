"""An event is shown once to its person, and only to that one."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core import mail
from django.db import connections
from django.test import Client

from app.api.tokens import issue_token
from app.engine.mail.errors import MailUnavailable
from app.engine.outbox.background import background_relay
from app.engine.outbox.models import OutboxMessage
from app.workload.notifications import services
from app.workload.notifications.errors import NotificationInvalid, NotificationUnknown
from app.workload.notifications.models import Notification
from tests.support.eventually import eventually
from tests.support.quickly import quickly

pytestmark = pytest.mark.django_db
several_connections = pytest.mark.django_db(transaction=True)

READY: dict[str, Any] = {"kind": "report_ready", "context": {"report_id": "1815", "title": "Garden, May"}}
REMINDER: dict[str, Any] = {"kind": "reminder", "context": {"event_id": "call-ada", "title": "Call Ada", "text": "At noon."}}

_NO_REQUESTS: tuple[Any, ...] = ({}, [], "null", "12", REMINDER | {"kind": "gossip"}, REMINDER | {"kind": 1}, REMINDER | {"more": 1})
_NO_CONTEXTS: tuple[Any, ...] = (None, "x", [], {}, {"event_id": 1}, {"event_id": "a", "title": "\ud800"})


@pytest.fixture(autouse=True)
def outbox_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background_relay, "wake", lambda: None)


@pytest.fixture
def ada(db: None) -> Any:
    return get_user_model().objects.create(username="ada", email="ada@example.com")


@pytest.fixture
def client(ada: Any) -> Client:
    return Client(headers={"Authorization": f"Bearer {issue_token(ada, 'tests')}"})


def post(client: Client, body: Any, path: str = "/api/notifications", **headers: str) -> Any:
    content = body if isinstance(body, str | bytes) else json.dumps(body)
    return client.post(path, content, content_type="application/json", headers=headers)


# -- once per event --------------------------------------------------------------------------------------------------


def test_an_event_is_shown_once_however_often_it_is_told(ada: Any) -> None:
    shown = [services.notify(user_id=ada.pk, **READY) for _ in range(3)]
    assert [bool(one) for one in shown] == [True, False, False]
    assert Notification.objects.get().title == "Garden, May is ready"
    assert [message.task for message in OutboxMessage.objects.all()] == ["notifications.send_mail"]


def test_another_event_another_kind_and_another_person_are_shown_too(ada: Any) -> None:
    alan = get_user_model().objects.create(username="alan")
    for user_id, kind, context in (
        (ada.pk, "order_confirmed", {"order_id": "1"}),
        (ada.pk, "order_confirmed", {"order_id": "2"}),
        (ada.pk, "order_cancelled", {"order_id": "1", "reason": "sold out"}),
        (alan.pk, "order_confirmed", {"order_id": "1"}),
    ):
        assert services.notify(user_id=user_id, kind=kind, context=context)
    assert Notification.objects.count() == 4


@several_connections
def test_twins_at_once_show_it_once(ada: Any) -> None:
    barrier = threading.Barrier(4)

    def tell(_: int) -> Any:
        try:
            barrier.wait()
            return services.notify(user_id=ada.pk, **READY)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(4) as pool:
        assert sum(one is not None for one in pool.map(tell, range(4))) == 1
    assert Notification.objects.count() == 1
    assert OutboxMessage.objects.count() == 1


def test_the_mail_goes_out_once_and_names_the_event(ada: Any) -> None:
    shown = services.notify(user_id=ada.pk, **READY)
    assert shown
    assert [services.send_mail(str(shown.pk)) for _ in range(2)] == [True, False]
    (sent,) = mail.outbox
    assert (sent.to, sent.subject) == (["ada@example.com"], "Garden, May is ready")
    assert str(shown.pk) in sent.extra_headers["Message-ID"]


def test_a_mail_that_can_never_go_says_why_and_one_that_can_later_stays_due(ada: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    nobody = get_user_model().objects.create(username="nobody")
    first, second = services.notify(user_id=nobody.pk, **READY), services.notify(user_id=ada.pk, **READY)
    assert first
    assert second
    assert services.send_mail(str(first.pk)) is False
    first.refresh_from_db()
    assert (first.mailing, first.mailing_reason) == ("unmailed", "The user has no address.")

    def away(*_: Any) -> None:
        raise MailUnavailable("away")

    monkeypatch.setattr(services, "send_unless_accepted", away)
    with pytest.raises(MailUnavailable):
        services.send_mail(str(second.pk))
    second.refresh_from_db()
    assert second.mailing == "due"


@pytest.mark.parametrize(
    ("user_id", "kind", "context"),
    [
        (None, "order_confirmed", {"order_id": "1"}),
        ("1", "order_confirmed", {"order_id": "1"}),
        (10**30, "order_confirmed", {"order_id": "1"}),
        (True, "order_confirmed", {}),
        ("ada", "gossip", {}),
        ("ada", None, {}),
        ("ada", "order_confirmed", None),
        ("ada", "order_confirmed", {}),
        ("ada", "order_confirmed", {"order_id": 1}),
        ("ada", "order_confirmed", {"order_id": "1", "more": 1}),
        ("ada", "order_confirmed", {"order_id": "a b"}),
        ("ada", "reminder", {"event_id": "x", "title": "t" * 201}),
    ],
)
def test_a_message_made_by_hand_shows_nothing(ada: Any, user_id: Any, kind: Any, context: Any) -> None:
    with pytest.raises(NotificationInvalid):
        services.notify(user_id=ada.pk if user_id == "ada" else user_id, kind=kind, context=context)
    assert not Notification.objects.exists()


@pytest.mark.parametrize("notification_id", ["", "x", None, 5, "7f7c4a3e-0a4e-4d7b-9d0e-2f6f3c1f9a11"])
def test_a_mail_of_nothing_is_a_permanent_error(db: None, notification_id: Any) -> None:
    with pytest.raises(NotificationUnknown):
        services.send_mail(notification_id)


# -- the API ----------------------------------------------------------------------------------------------------------


def test_an_owner_is_told_reads_and_counts(client: Client, ada: Any) -> None:
    accepted = post(client, REMINDER)
    assert (accepted.status_code, accepted.json()) == (202, {"event": "reminder:call-ada"})
    assert OutboxMessage.objects.get().task == "notifications.user_notification"
    services.notify(user_id=ada.pk, **REMINDER)
    assert client.get("/api/notifications/unread").json() == {"unread": 1}
    (item,) = client.get("/api/notifications?unread=true").json()["items"]
    assert (item["title"], item["text"], item["mailing"]) == ("Call Ada", "At noon.", "none")
    first = post(client, "", f"/api/notifications/{item['id']}/read").json()["read_at"]
    assert first
    assert post(client, "", f"/api/notifications/{item['id']}/read").json()["read_at"] == first
    assert client.get("/api/notifications/unread").json() == {"unread": 0}
    assert client.get("/api/notifications?unread=true").json()["items"] == []


def test_others_notifications_are_not_there(client: Client) -> None:
    eve = get_user_model().objects.create(username="eve")
    theirs = services.notify(user_id=eve.pk, **REMINDER)
    assert theirs
    assert post(client, "", f"/api/notifications/{theirs.pk}/read").status_code == 404
    assert client.get("/api/notifications").json()["items"] == []
    theirs.refresh_from_db()
    assert theirs.read_at is None


def test_a_list_is_read_page_by_page(client: Client, ada: Any) -> None:
    for number in range(5):
        services.notify(user_id=ada.pk, kind="order_confirmed", context={"order_id": str(number)})
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = client.get("/api/notifications", {"limit": 2} | ({"cursor": cursor} if cursor else {})).json()
        seen += [item["event"] for item in page["items"]]
        cursor = page["next_cursor"]
    assert seen == [f"order_confirmed:{number}" for number in (4, 3, 2, 1, 0)]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        *((body, 422) for body in _NO_REQUESTS),
        *((REMINDER | {"context": context}, 422) for context in _NO_CONTEXTS),
        ({"kind": "reminder", "context": {"event_id": "a", "title": "nul \0"}}, 422),
        ("{", 400),
        ("[" * 100_000, 400),
        ('{"kind": "a", "kind": "b"}', 400),
        (json.dumps(REMINDER | {"context": {"event_id": "a", "title": "b", "text": "x" * 300_000}}), 413),
    ],
    ids=lambda value: str(value)[:40],
)
def test_bad_input_is_refused_at_once_with_a_reason_and_enqueues_nothing(client: Client, body: Any, status: int) -> None:
    response = quickly(lambda: post(client, body))
    assert response.status_code == status
    assert response.json()["detail"]
    assert not OutboxMessage.objects.exists()


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=x", "cursor=x", "cursor=%00", "unread=perhaps"])
def test_a_query_that_makes_no_sense_is_refused(client: Client, query: str) -> None:
    assert client.get(f"/api/notifications?{query}").status_code == 422


def test_without_a_token_there_is_no_answer(db: None) -> None:
    assert post(Client(), REMINDER).status_code == 401
    assert Client().get("/api/notifications").status_code == 401


# -- pages ------------------------------------------------------------------------------------------------------------


def test_staff_sees_them_and_others_do_not(ada: Any) -> None:
    services.notify(user_id=ada.pk, **READY)
    visitor, staff = Client(), Client()
    assert visitor.get("/notifications/").status_code == 302
    visitor.force_login(ada)
    assert visitor.get("/notifications/").status_code in (302, 403)
    staff.force_login(get_user_model().objects.create(username="staff", is_staff=True, is_superuser=True))
    assert "Garden, May is ready" in staff.get("/notifications/").content.decode()
    assert "Garden, May" not in staff.get("/notifications/", {"mailing": "mailed"}).content.decode()
    for query in ({"mailing": "\0"}, {"page": "x"}, {"page": "-1"}):
        assert staff.get("/notifications/", query).status_code == 200
    assert staff.get("/admin/notifications/notification/").status_code == 200
    assert staff.get("/admin/notifications/notification/add/").status_code == 403


# -- real workers -------------------------------------------------------------------------------------------------------


def test_a_redelivered_notification_and_a_second_job_show_one_and_mail_one(stack: Any) -> None:
    told = stack.python(
        "from django.db import transaction\nfrom app.engine.outbox.publisher import publish\n"
        "from app.engine.outbox.background import background_relay\nbackground_relay.wake = lambda: None\n"
        "with transaction.atomic():\n"
        "    for _ in range(3): publish('notifications.user_notification', user_id=1, kind='report_ready', context={'report_id': '7', 'title': 'May'})\n"
    )
    assert told.returncode == 0, told.stderr
    stack.start("outbox-relay")
    eventually(lambda: stack.depth("notifications")[0], 3, within=20)
    for message in stack.sqs.receive_message(QueueUrl=stack.queue_url("notifications"), VisibilityTimeout=0)["Messages"]:
        for _ in range(3):
            stack.sqs.send_message(QueueUrl=stack.queue_url("notifications"), MessageBody=message["Body"])

    stack.start("worker-notifications", "worker-emails")

    shown = "SELECT event, mailing FROM notifications_notification"
    eventually(lambda: stack.query(shown), [("report_ready:7", "mailed")], within=30)
    eventually(lambda: (stack.depth("notifications"), stack.depth("emails")), ((0, 0), (0, 0)), within=20)
    assert stack.query(shown) == [("report_ready:7", "mailed")]
    mails = "".join(path.read_text() for path in (stack.directory / "mail").iterdir())
    assert mails.count("Message-ID:") == 1
