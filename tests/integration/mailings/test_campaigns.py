"""Everybody gets one mail whose mail can be had, and nobody gets two."""

import json
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from app.engine.mail.post import Post
from app.engine.outbox.models import OutboxMessage
from app.engine.progress.reading import read
from app.workload.mailings import delivery, event_mails, services
from app.workload.mailings.delivery import Run
from app.workload.mailings.errors import CampaignUnknown, MailUnderWay, RecipientUnknown, TemplateInvalid
from app.workload.mailings.letters import unsubscribe_token
from app.workload.mailings.models import Campaign, Mail, Suppression
from tests.integration.mailings.conftest import NEWS, MakeCampaign
from tests.integration.mailings.walking import arguments_of, run_job, states, work_off
from tests.support.mail_server import MailServer

pytestmark = pytest.mark.django_db


def people(count: int) -> list[str]:
    return [f"reader{number}@example.com" for number in range(count)]


def ended(campaign: Campaign) -> dict[str, Any]:
    """Its totals, which it has when it has ended."""
    assert campaign.totals is not None
    return dict(campaign.totals)


class Killed(BaseException):
    """Nothing that the code catches, like a SIGKILL."""


# -- the whole way ---------------------------------------------------------------------------------------------------


def test_each_recipient_gets_one_mail_and_the_owner_is_told(server: MailServer, make_campaign: MakeCampaign) -> None:
    campaign = make_campaign(*people(250), "READER7@example.com")
    ran = work_off()
    assert ran == {"mailings.process_bulk_emails": 1, "mailings.send_chunk": 3}
    assert Counter(server.recipients()) == dict.fromkeys(people(250), 1)
    campaign.refresh_from_db()
    assert campaign.state == Campaign.State.FINISHED
    assert ended(campaign) | {"sent": 250, "failed": 0, "total": 250, "success_percent": 100.0} == ended(campaign)
    (told,) = OutboxMessage.objects.all()
    assert told.task == "notifications.user_notification"
    assert arguments_of(told)["context"] == {"campaign_id": str(campaign.pk), "name": "Autumn", "sent": 250, "failed": 0}
    shown = read(campaign.work)
    assert shown
    assert (shown.current, shown.total, shown.percent) == (250, 250, 100)


def test_users_are_found_at_the_start_once_an_address(server: MailServer, make_campaign: MakeCampaign) -> None:
    make = get_user_model().objects.create
    for name, email in (("ada", "Ada@example.com"), ("twin", "ada@EXAMPLE.com"), ("alan", "alan@example.com"), ("none", "")):
        make(username=name, email=email, first_name=name.title())
    make(username="gone", email="gone@example.com", is_active=False)
    make(username="old", email="old@example.com", date_joined=timezone.now() - timedelta(days=9))
    joined_since = (timezone.now() - timedelta(days=1)).isoformat()
    campaign = make_campaign(audience={"joined_since": joined_since, "is_staff": None})
    work_off()
    assert sorted(server.recipients()) == ["ada@example.com", "alan@example.com", "owner@example.com"]
    assert services.totals_of(campaign).sent == 3


def test_a_bad_recipient_is_counted_with_its_reason_and_stops_nobody(server: MailServer, make_campaign: MakeCampaign) -> None:
    bad = {"unknown@example.com": "no such mailbox", "spam@example.com": "do not want", "no address": "no address", "a@b\nc": "cannot"}
    campaign = make_campaign(*people(3), *bad, *people(6)[3:])
    work_off()
    assert sorted(server.recipients()) == people(6)
    refused = {mail.address: mail.reason for mail in Mail.objects.filter(state="refused")}
    assert refused.keys() == bad.keys()
    assert all(word in refused[address] for address, word in bad.items() if word != "cannot"), refused
    campaign.refresh_from_db()
    assert ended(campaign) | {"sent": 6, "failed": 4, "success_percent": 60.0} == ended(campaign)
    assert set(Suppression.objects.values_list("address", "reason")) == {("no address", "bounced"), ("unknown@example.com", "bounced")}


def test_who_is_suppressed_is_skipped_and_the_link_in_the_mail_does_it(
    server: MailServer, make_campaign: MakeCampaign, client: Any
) -> None:
    make_campaign("ada@example.com", "alan@example.com")
    work_off()
    link = str(server.accepted[0]["List-Unsubscribe"]).strip().strip("<>").replace("http://127.0.0.1:8000", "")
    assert server.accepted[0]["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert client.get(link).status_code == 200
    assert not Suppression.objects.exists()
    assert client.post(link, {"List-Unsubscribe": "One-Click"}).status_code == 200
    assert Suppression.objects.get().address == "ada@example.com"
    make_campaign("ada@example.com", "alan@example.com")
    work_off()
    assert Counter(server.recipients()) == {"ada@example.com": 1, "alan@example.com": 2}
    assert states() == {"sent": 3, "skipped": 1}


@pytest.mark.parametrize("token", ["x", "1", "1:x", unsubscribe_token(1)[:-1], "%00", "9" * 400])
def test_a_link_that_we_have_not_signed_changes_nothing(db: None, client: Any, token: str) -> None:
    assert client.get(f"/mailings/unsubscribe/{token}/").status_code == 404
    assert client.post(f"/mailings/unsubscribe/{token}/").status_code == 404
    assert not Suppression.objects.exists()


# -- one query a chunk -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [10, 100])
def test_one_query_reads_the_recipients_of_a_chunk_however_many_they_are(
    server: MailServer, make_campaign: MakeCampaign, count: int
) -> None:
    campaign = make_campaign(*people(count))
    services.process_bulk_emails(str(campaign.pk))
    with CaptureQueriesContext(
        connection,
    ) as asked:
        services.send_chunk(str(campaign.pk), 1, 0, Run.of(None))
    selects = [query["sql"] for query in asked if query["sql"].startswith("SELECT")]
    assert sum('"mailings_mail"."address"' in sql for sql in selects) == 1
    assert len(selects) <= 10
    assert len(server.accepted) == count


def test_reading_no_chunk_reads_no_recipient(make_campaign: MakeCampaign) -> None:
    campaign = make_campaign(*people(350))
    with CaptureQueriesContext(connection) as asked:
        services.process_bulk_emails(str(campaign.pk))
    assert not any("SELECT" in query["sql"] and '"mailings_mail"."address"' in query["sql"] for query in asked)
    assert [arguments_of(job)["chunk"] for job in OutboxMessage.objects.filter(task="mailings.send_chunk")] == [0, 1, 2, 3]


def test_only_a_few_chunks_are_on_their_way_at_a_time(
    server: MailServer, make_campaign: MakeCampaign, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services, "CHUNK", 2)
    make_campaign(*people(40))
    work_off(1)
    assert OutboxMessage.objects.filter(task="mailings.send_chunk").count() == services.AT_ONCE
    work_off(5)
    assert OutboxMessage.objects.filter(task="mailings.send_chunk").count() == services.AT_ONCE
    work_off()
    assert Counter(server.recipients()) == dict.fromkeys(people(40), 1)


# -- the server is in trouble ----------------------------------------------------------------------------------------


def test_who_is_put_off_gets_it_later_and_stops_nobody(server: MailServer, make_campaign: MakeCampaign) -> None:
    campaign = make_campaign("later@example.com", *people(3))
    work_off(2)
    assert sorted(server.recipients()) == people(3)
    assert states() == {"sent": 3, "pending": 1}
    later = OutboxMessage.objects.get(task="mailings.process_bulk_emails")
    due_in = datetime.fromisoformat(json.loads(later.options)["headers"]["eta"]) - timezone.now()
    assert timedelta(seconds=20) < due_in < timedelta(seconds=31)
    server.is_kind = True
    Mail.objects.update(due_at=timezone.now())
    work_off()
    assert Counter(server.recipients())["later@example.com"] == 1
    campaign.refresh_from_db()
    assert campaign.state == Campaign.State.FINISHED


def test_who_is_put_off_for_ever_is_refused_in_the_end(server: MailServer, make_campaign: MakeCampaign) -> None:
    campaign = make_campaign("later@example.com")
    for _ in range(delivery.MOST_ATTEMPTS):
        work_off(2)
        Mail.objects.filter(state="pending").update(due_at=timezone.now())
    work_off()
    assert "come back later" in Mail.objects.get(state="refused").reason
    campaign.refresh_from_db()
    assert campaign.state == Campaign.State.FINISHED


def test_a_server_that_is_away_costs_nobody_an_attempt_and_is_asked_later(server: MailServer, make_campaign: MakeCampaign) -> None:
    server.is_locked = True
    campaign = make_campaign(*people(5))
    work_off(2)
    campaign.refresh_from_db()
    assert "not there" in campaign.trouble or "cannot be reached" in campaign.trouble
    assert set(Mail.objects.values_list("state", "attempts")) == {("pending", 0)}
    server.is_locked = False
    work_off()
    campaign.refresh_from_db()
    assert (campaign.state, campaign.trouble) == (Campaign.State.FINISHED, "")
    assert Counter(server.recipients()) == dict.fromkeys(people(5), 1)


def test_a_server_that_falls_silent_leaves_one_mail_in_doubt_which_is_not_sent_again(
    server: MailServer, make_campaign: MakeCampaign, owner: Any
) -> None:
    campaign = make_campaign("ada@example.com", "silent@example.com", "alan@example.com")
    work_off()
    assert sorted(server.recipients()) == ["ada@example.com", "alan@example.com"]
    assert states() == {"sent": 2, "uncertain": 1}
    campaign.refresh_from_db()
    assert ended(campaign)["uncertain"] == 1
    uncertain = Mail.objects.get(state="uncertain")
    assert delivery.decide([mail.pk for mail in Mail.objects.all()], was_sent=True) == 1
    uncertain.refresh_from_db()
    assert uncertain.state == "sent"


# -- killed, twice, overtaken ----------------------------------------------------------------------------------------


def kill_in(monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    """Have the third mail's run die before, or after, the server has it."""
    send, calls = Post.send, []

    def dying(self: Any, mail: Any) -> None:
        calls.append(mail)
        if len(calls) == 3 and where == "before":
            raise Killed
        send(self, mail)
        if len(calls) == 3 and where == "after":
            raise Killed

    monkeypatch.setattr(Post, "send", dying)


@pytest.mark.parametrize("where", ["before", "after"])
def test_a_kill_on_either_side_of_the_server_s_yes_gives_each_one_mail(
    files: Path, make_campaign: MakeCampaign, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    campaign = make_campaign(*people(6))
    services.process_bulk_emails(str(campaign.pk))
    kill_in(monkeypatch, where)
    with pytest.raises(Killed):
        services.send_chunk(str(campaign.pk), 1, 0, Run(job="job", fence=1))
    assert states() == {"sent": 2, "sending": 1, "pending": 3}

    services.send_chunk(str(campaign.pk), 1, 0, Run(job="job", fence=2))

    assert states() == {"sent": 6}
    sent = "".join(path.read_text() for path in files.iterdir())
    assert {address: sent.count(f"\nTo: {address}\n") for address in people(6)} == dict.fromkeys(people(6), 1)


def test_a_kill_where_nobody_can_be_asked_sends_no_second_mail(
    server: MailServer, make_campaign: MakeCampaign, monkeypatch: pytest.MonkeyPatch
) -> None:
    campaign = make_campaign(*people(6))
    services.process_bulk_emails(str(campaign.pk))
    kill_in(monkeypatch, "after")
    with pytest.raises(Killed):
        services.send_chunk(str(campaign.pk), 1, 0, Run(job="job", fence=1))
    services.send_chunk(str(campaign.pk), 1, 0, Run(job="job", fence=2))
    assert states() == {"sent": 5, "uncertain": 1}
    assert Counter(server.recipients()) == dict.fromkeys(people(6), 1)


def test_a_mail_that_a_living_run_has_in_hand_is_left_alone(files: Path, make_campaign: MakeCampaign) -> None:
    campaign = make_campaign(*people(2))
    services.process_bulk_emails(str(campaign.pk))
    in_hand = Mail.objects.order_by("pk").first()
    assert in_hand
    Mail.objects.filter(pk=in_hand.pk).update(state="sending", claim_job="another", claim_fence=1, claimed_at=timezone.now())
    services.send_chunk(str(campaign.pk), 1, 0, Run(job="job", fence=5))
    assert states() == {"sending": 1, "sent": 1}
    Mail.objects.filter(pk=in_hand.pk).update(claimed_at=timezone.now() - delivery.CLAIM_HOLDS - timedelta(seconds=1))
    services.send_chunk(str(campaign.pk), Campaign.objects.get().round, 0, Run(job="job", fence=5))
    assert states() == {"sent": 2}


def test_a_late_run_tells_what_became_of_a_mail_that_others_thought_uncertain(server: MailServer, make_campaign: MakeCampaign) -> None:
    make_campaign("ada@example.com")
    mail, late = Mail.objects.get(), delivery.Deliverer(run=Run(job="late", fence=1))
    assert late._claim(mail)
    mail.refresh_from_db()
    delivery.Deliverer(run=Run(job="late", fence=2)).recover(mail)
    assert states() == {"uncertain": 1}
    late._settle(mail, **delivery._settled(Mail.State.SENT))
    assert states() == {"sent": 1}


def test_jobs_that_come_twice_or_late_send_nothing_twice(server: MailServer, make_campaign: MakeCampaign) -> None:
    campaign = make_campaign(*people(120))
    services.process_bulk_emails(str(campaign.pk))
    jobs = [(job.task, arguments_of(job)) for job in OutboxMessage.objects.filter(task="mailings.send_chunk")]
    services.process_bulk_emails(str(campaign.pk))
    for task, arguments in [*jobs, *jobs]:
        assert run_job(task, arguments, Run.of(None)) == {"done": 0, "put_off": 0}
    work_off()
    for task, arguments in jobs:
        run_job(task, arguments, Run.of(None))
    services.process_bulk_emails(str(campaign.pk))
    assert Counter(server.recipients()) == dict.fromkeys(people(120), 1)


def test_a_paused_campaign_rests_and_goes_on_and_a_cancelled_one_does_not(server: MailServer, make_campaign: MakeCampaign) -> None:
    campaign = make_campaign(*people(150))
    work_off(2)
    services.pause(campaign.pk)
    work_off()
    assert len(server.accepted) == 100
    services.start(campaign.pk)
    work_off(1)
    services.cancel(campaign.pk)
    work_off()
    assert len(server.accepted) == 100
    assert states() == {"sent": 100, "pending": 50}


def test_a_campaign_that_nobody_works_on_is_taken_up_again(server: MailServer, make_campaign: MakeCampaign) -> None:
    campaign = make_campaign(*people(5))
    services.process_bulk_emails(str(campaign.pk))
    OutboxMessage.objects.all().delete()
    assert services.resume_unfinished() == 0
    assert services.resume_unfinished(now=timezone.now() + services.UNTOUCHED_FOR + timedelta(seconds=1)) == 1
    work_off()
    assert Counter(server.recipients()) == dict.fromkeys(people(5), 1)


def test_what_is_shown_never_falls(server: MailServer, make_campaign: MakeCampaign, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "CHUNK", 5)
    campaign = make_campaign(*people(30), "later@example.com", "unknown@example.com")
    seen = [0]
    while work_off(1) and len(seen) < 20:
        shown = read(campaign.work)
        seen.append(shown.current if shown else 0)
    assert seen == sorted(seen)
    assert seen[-1] == 31, seen


@pytest.mark.parametrize("campaign_id", ["", "x", None, 5, "7f7c4a3e-0a4e-4d7b-9d0e-2f6f3c1f9a11"])
def test_a_campaign_that_is_none_is_a_permanent_error(db: None, campaign_id: Any) -> None:
    with pytest.raises(CampaignUnknown):
        services.process_bulk_emails(campaign_id)
    with pytest.raises(CampaignUnknown):
        services.send_chunk(campaign_id, 1, 0, Run.of(None))


# -- one mail to one user ------------------------------------------------------------------------------------------------

APOLOGY: dict[str, Any] = {"template_id": "apology", "event": "apology:1815", "context": {"order_id": "1815", "reason": "sold out"}}


def test_a_user_gets_one_mail_an_event(server: MailServer, owner: Any) -> None:
    first = event_mails.send_templated_email(user_id=owner.pk, run=Run.of(None), **APOLOGY)
    again = event_mails.send_templated_email(user_id=owner.pk, run=Run.of(None), **APOLOGY)
    assert (first.state, again.pk) == ("sent", first.pk)
    assert server.recipients() == ["owner@example.com"]
    assert "1815: sold out" in str(server.accepted[0].get_payload())


def test_a_mail_of_an_event_in_another_run_s_hand_is_asked_for_later(server: MailServer, owner: Any) -> None:
    event_mails.send_templated_email(user_id=owner.pk, run=Run.of(None), **APOLOGY)
    Mail.objects.update(state="sending", settled_at=None, claim_job="another", claim_fence=1, claimed_at=timezone.now())
    with pytest.raises(MailUnderWay):
        event_mails.send_templated_email(user_id=owner.pk, run=Run(job="job", fence=1), **APOLOGY)
    later = event_mails.send_templated_email(user_id=owner.pk, run=Run(job="another", fence=2), **APOLOGY)
    assert later.state == "uncertain"
    assert len(server.accepted) == 1


@pytest.mark.parametrize(
    ("changes", "raised"),
    [
        ({"user_id": None}, RecipientUnknown),
        ({"user_id": "1"}, RecipientUnknown),
        ({"user_id": 10**30}, RecipientUnknown),
        ({"event": ""}, RecipientUnknown),
        ({"event": "x" * 201}, RecipientUnknown),
        ({"template_id": "gossip"}, TemplateInvalid),
        ({"template_id": None}, TemplateInvalid),
        ({"context": {}}, TemplateInvalid),
        ({"context": {"order_id": "1", "reason": "a\nb"}}, TemplateInvalid),
        ({"context": NEWS}, TemplateInvalid),
    ],
)
def test_a_message_made_by_hand_sends_nothing(owner: Any, changes: dict[str, Any], raised: type[Exception]) -> None:
    with pytest.raises(raised):
        event_mails.send_templated_email(**({"user_id": owner.pk, "run": Run.of(None)} | APOLOGY | changes))
    assert not Mail.objects.exists()
