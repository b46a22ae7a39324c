"""What is done with campaigns."""

import logging
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from celery import current_app
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.db.models import Count, Exists, F, IntegerField, Min, OuterRef, Q, QuerySet
from django.utils import timezone

from app.engine.mail.errors import MailDeferred, MailUnavailable
from app.engine.outbox.publisher import publish
from app.engine.progress import checkpoints
from app.engine.progress.errors import Overtaken
from app.workload.mailings.delivery import CLAIM_HOLDS, Deliverer, Run, refuse, skip
from app.workload.mailings.errors import CampaignUnknown, StateContradicts
from app.workload.mailings.letters import Template, letter, read_template
from app.workload.mailings.models import Campaign, Mail, Suppression

logger = logging.getLogger(__name__)

CHUNK = 100
AT_ONCE = 8
"""Chunks of one campaign that are on their way at a time: mails that a customer waits for come in between."""
SLICE = timedelta(seconds=60)
"""How long a chunk keeps a worker's slot; then the rest of it is another job."""
UNTOUCHED_FOR = timedelta(minutes=5)
_SHORTEST_PAUSE, _LONGEST_PAUSE = timedelta(seconds=5), timedelta(minutes=4)
_GATHERED_AT_ONCE = 2000
_LONGEST_TROUBLE = 500
_LARGEST_ID = 2**63
_OPEN = (Mail.State.PENDING, Mail.State.SENDING)


# -- campaigns -----------------------------------------------------------------------------------------------------------


def create_campaign(
    *,
    owner: AbstractBaseUser,
    name: str,
    template_id: str,
    context: dict[str, Any],
    audience: dict[str, Any] | None = None,
    addresses: Sequence[str] = (),
) -> Campaign:
    """Make a draft. ``audience`` says which users get it, found at the start; otherwise ``addresses`` do. Raises :class:`TemplateInvalid`."""
    _, values = read_template(template_id, context)
    with transaction.atomic():
        campaign = Campaign.objects.create(
            owner_id=owner.pk, name=name, template_id=template_id, context=values, audience=audience, is_gathered=audience is None
        )
        _append(campaign, addresses)
    return campaign


def add_recipients(campaign_id: uuid.UUID, addresses: Sequence[str]) -> Campaign:
    """Add to a draft; an address that is there already stays there once. Raises :class:`StateContradicts`."""
    with transaction.atomic():
        campaign = _locked(campaign_id)
        if campaign.state != Campaign.State.DRAFT or campaign.audience is not None:
            raise StateContradicts(f"Recipients are added to a draft that has a list of addresses; this campaign is {campaign.state}.")
        _append(campaign, addresses)
    return campaign


def _append(campaign: Campaign, addresses: Sequence[str]) -> None:
    first = campaign.last_position + 1
    Mail.objects.bulk_create(
        (Mail(campaign=campaign, position=position, address=address.lower()) for position, address in enumerate(addresses, first)),
        batch_size=_GATHERED_AT_ONCE,
        ignore_conflicts=True,
    )
    campaign.last_position += len(addresses)
    campaign.save(update_fields=["last_position"])


def start(campaign_id: uuid.UUID) -> Campaign:
    """Have a draft sent, or a paused campaign go on. Again: nothing changes. Raises :class:`StateContradicts` for one that has ended."""
    with transaction.atomic():
        campaign = _locked(campaign_id)
        # | draft, paused ── start ──▶ running |  running ──▶ running |
        if campaign.state == Campaign.State.RUNNING:
            return campaign
        if campaign.state not in (Campaign.State.DRAFT, Campaign.State.PAUSED):
            raise StateContradicts(f"This campaign is {campaign.state}; make another one.")
        campaign.state, campaign.touched_at = Campaign.State.RUNNING, timezone.now()
        campaign.started_at = campaign.started_at or campaign.touched_at
        campaign.save(update_fields=["state", "touched_at", "started_at"])
        publish("mailings.process_bulk_emails", campaign_id=str(campaign.pk))
    return campaign


def pause(campaign_id: uuid.UUID) -> Campaign:
    """Have nothing more sent until it is started again; mails that the server has in hand go out. Raises :class:`StateContradicts`."""
    with transaction.atomic():
        campaign = _locked(campaign_id)
        # | running ── pause ──▶ paused |  paused ──▶ paused |
        if campaign.state not in (Campaign.State.RUNNING, Campaign.State.PAUSED):
            raise StateContradicts(f"This campaign is {campaign.state}; only a running one can be paused.")
        campaign.state = Campaign.State.PAUSED
        campaign.save(update_fields=["state"])
    return campaign


def cancel(campaign_id: uuid.UUID) -> Campaign:
    """End it for good, whatever is left. Raises :class:`StateContradicts` for one that is finished."""
    with transaction.atomic():
        campaign = _locked(campaign_id)
        # | draft, running, paused ── cancel ──▶ cancelled |  cancelled ──▶ cancelled |
        if campaign.state == Campaign.State.FINISHED:
            raise StateContradicts("This campaign is finished; there is nothing to cancel.")
        if campaign.state != Campaign.State.CANCELLED:
            campaign.state, campaign.finished_at = Campaign.State.CANCELLED, timezone.now()
            campaign.save(update_fields=["state", "finished_at"])
    return campaign


# -- the walk through what is left -----------------------------------------------------------------------------------


def process_bulk_emails(campaign_id: str) -> dict[str, Any]:
    """Begin a walk through what is left of a running campaign, and return its totals so far.

        round n ── eight chunks at once ── each, when done, leads to the next ── the last one ─┬▶ nothing left: finished
          ▲                                                                                      └▶ soon: round n + 1 for what was put back
          └── again, by anybody: round n + 1, and chunks of round n lead no further

    One transaction: killed half-way, there is no round, and the next run begins it.
    """
    with transaction.atomic():
        campaign = _locked(_parse_id(campaign_id))
        if campaign.state == Campaign.State.RUNNING:
            _gather(campaign)
            campaign.round += 1
            campaign.touched_at = timezone.now()
            chunks = list(_chunks_left(campaign)[:AT_ONCE])
            campaign.next_chunk, campaign.chunks_out = (chunks[-1] + 1 if chunks else 0), len(chunks)
            campaign.save(update_fields=["round", "touched_at", "next_chunk", "chunks_out"])
            jobs = [{"campaign_id": campaign_id, "round_": campaign.round, "chunk": chunk} for chunk in chunks]
            current_app.tasks["mailings.send_chunk"].delay_many(jobs)
            if not chunks:
                _finish(campaign)
    show(campaign)
    return totals_of(campaign).as_json()


def _gather(campaign: Campaign) -> None:
    """Find the users of the audience, once, a few at a time. Two of them with one address are one recipient."""
    if campaign.is_gathered:
        return
    wanted = campaign.audience or {}
    users = get_user_model().objects.filter(is_active=True).exclude(email="").order_by("pk")
    if wanted.get("joined_since"):
        users = users.filter(date_joined__gte=datetime.fromisoformat(wanted["joined_since"]))
    if wanted.get("is_staff") is not None:
        users = users.filter(is_staff=wanted["is_staff"])
    batch: list[Mail] = []
    for pk, email, first_name in users.values_list("pk", "email", "first_name").iterator(_GATHERED_AT_ONCE):
        campaign.last_position += 1
        batch.append(Mail(campaign=campaign, position=campaign.last_position, user_id=pk, address=email.lower(), name=first_name))
        if len(batch) == _GATHERED_AT_ONCE:
            Mail.objects.bulk_create(batch, ignore_conflicts=True)
            batch = []
    Mail.objects.bulk_create(batch, ignore_conflicts=True)
    campaign.is_gathered = True
    campaign.save(update_fields=["is_gathered", "last_position"])


def _left(campaign: Campaign) -> "QuerySet[Mail]":
    return Mail.objects.filter(campaign=campaign, state__in=_OPEN)


def _chunks_left(campaign: Campaign) -> "QuerySet[Mail, int]":
    """Numbers of the chunks with something left in them, in order: one query, of numbers."""
    number = (F("position") - 1) / CHUNK
    return _left(campaign).annotate(chunk=number).order_by("chunk").values_list("chunk", flat=True).distinct()


@dataclass(kw_only=True, slots=True)
class _Chunk:
    """What a run did with one."""

    done: int = 0
    put_off: int = 0
    is_cut_off: bool = False
    trouble: str = ""


def send_chunk(campaign_id: str, round_: int, chunk: int, run: Run) -> dict[str, int]:
    """Send what is left of one chunk, and lead to the next.

    One query reads its recipients; each is claimed, sent and noted by itself, so that a kill leaves at most one of them in doubt. A server
    that is in trouble ends the round: another one begins later, and no attempt is lost.
    """
    campaign = Campaign.objects.filter(pk=_parse_id(campaign_id)).first()
    if campaign is None:
        raise CampaignUnknown(f"There is no campaign {campaign_id}. If it was deleted, discard this message.")
    if campaign.state != Campaign.State.RUNNING or campaign.round != round_:
        return {"done": 0, "put_off": 0}
    template, _ = read_template(campaign.template_id, campaign.context)
    happened = _work_off(campaign, template, _recipients(campaign, chunk), run)
    _lead_on(campaign.pk, round_, chunk, happened)
    show(campaign)
    return {"done": happened.done, "put_off": happened.put_off}


def _recipients(campaign: Campaign, chunk: int) -> list[Mail]:
    """What is left of a chunk, and whose address is suppressed: the one query that reads recipients."""
    suppressed = Exists(Suppression.objects.filter(address=OuterRef("address")))
    here = Q(position__gt=chunk * CHUNK, position__lte=(chunk + 1) * CHUNK)
    return list(_left(campaign).filter(here).annotate(is_suppressed=suppressed).order_by("position"))


def _work_off(campaign: Campaign, template: Template, mails: list[Mail], run: Run) -> _Chunk:
    happened, end, now = _Chunk(), time.monotonic() + SLICE.total_seconds(), timezone.now()
    deliverer = Deliverer(run=run)
    with deliverer.post:
        for mail in mails:
            if time.monotonic() > end:
                happened.is_cut_off = True
                break
            if mail.state == Mail.State.SENDING:
                deliverer.recover(mail)
            if mail.state != Mail.State.PENDING or (mail.due_at is not None and mail.due_at > now):
                continue
            if mail.is_suppressed:  # type: ignore[attr-defined]  # annotated
                skip(mail)
                continue
            try:
                written = letter(template, campaign.context, mail_id=mail.pk, address=mail.address, name=mail.name)
            except (ValueError, TypeError, LookupError) as error:
                refuse(mail, f"This mail cannot be written: {type(error).__name__}: {error}")
                continue
            try:
                happened.done += deliverer.deliver(mail, written)
            except MailDeferred:
                happened.put_off += 1
            except MailUnavailable as error:
                # Also of the one who fell silent: the next mail might be as uncertain.
                happened.trouble = str(error)
                break
    return happened


def _lead_on(campaign_id: uuid.UUID, round_: int, chunk: int, happened: _Chunk) -> None:
    """After a chunk: the rest of it, the next one, the end, or another round for what was put back. For chunks of this round only."""
    with transaction.atomic():
        campaign = _locked(campaign_id)
        if campaign.state != Campaign.State.RUNNING:
            return
        if not _left(campaign).exists():
            _finish(campaign)
            return
        if campaign.round != round_:
            return
        campaign.touched_at = timezone.now()
        if happened.trouble:
            campaign.trouble, campaign.troubles = happened.trouble[:_LONGEST_TROUBLE], campaign.troubles + 1
            _begin_again_later(campaign, min(_SHORTEST_PAUSE * 2 ** min(campaign.troubles, 10), _LONGEST_PAUSE))
        else:
            campaign.trouble, campaign.troubles = "", 0
            if happened.is_cut_off:
                publish("mailings.send_chunk", campaign_id=str(campaign.pk), round_=round_, chunk=chunk)
            elif campaign.next_chunk * CHUNK < campaign.last_position:
                publish("mailings.send_chunk", campaign_id=str(campaign.pk), round_=round_, chunk=campaign.next_chunk)
                campaign.next_chunk += 1
            else:
                # Twice, by a job that was killed just after this: another round begins early, which finds what is left.
                campaign.chunks_out = max(campaign.chunks_out - 1, 0)
                if campaign.chunks_out == 0:
                    _begin_again_later(campaign, _pause_for(campaign))
        campaign.save(update_fields=["touched_at", "trouble", "troubles", "round", "next_chunk", "chunks_out"])


def _pause_for(campaign: Campaign) -> timedelta:
    """Until the first of what is left may go: it is due, or the run that had it in hand is given up."""
    now = timezone.now()
    ready = Q(state=Mail.State.PENDING, due_at=None)
    found = _left(campaign).aggregate(
        ready=Count("pk", filter=ready), due=Min("due_at"), claimed=Min("claimed_at", filter=Q(state=Mail.State.SENDING))
    )
    moments = [found["due"], found["claimed"] + CLAIM_HOLDS if found["claimed"] else None, now if found["ready"] else None]
    return min(max(min((moment for moment in moments if moment), default=now) - now, _SHORTEST_PAUSE), _LONGEST_PAUSE)


def _begin_again_later(campaign: Campaign, pause_: timedelta) -> None:
    campaign.round += 1
    current_app.tasks["mailings.process_bulk_emails"].apply_async(
        kwargs={"campaign_id": str(campaign.pk)}, countdown=pause_.total_seconds()
    )


def _finish(campaign: Campaign) -> None:
    """Close the books and tell the owner."""
    totals = totals_of(campaign)
    # | running ── nothing left ──▶ finished |
    campaign.state, campaign.finished_at, campaign.trouble = Campaign.State.FINISHED, timezone.now(), ""
    campaign.totals = totals.as_json()
    campaign.save(update_fields=["state", "finished_at", "trouble", "totals"])
    logger.info("campaign finished", extra={"campaign": str(campaign.pk), **campaign.totals})
    publish(
        "notifications.user_notification",
        user_id=campaign.owner_id,
        kind="campaign_finished",
        context={"campaign_id": str(campaign.pk), "name": campaign.name, "sent": totals.sent, "failed": totals.failed},
    )


def resume_unfinished(now: datetime | None = None) -> int:
    """Begin another round of the running campaigns that nobody has touched for ``UNTOUCHED_FOR``, and return of how many."""
    moment = now or timezone.now()
    with transaction.atomic():
        forgotten = Campaign.objects.filter(state=Campaign.State.RUNNING, touched_at__lt=moment - UNTOUCHED_FOR)
        found = list(forgotten.order_by("touched_at").select_for_update(skip_locked=True)[:CHUNK])
        for campaign in found:
            publish("mailings.process_bulk_emails", campaign_id=str(campaign.pk))
        Campaign.objects.filter(pk__in=[campaign.pk for campaign in found]).update(touched_at=moment)
    return len(found)


# -- how far it is ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class Totals:
    """Of a campaign's mails. ``failed`` are those that were refused, skipped, or are uncertain."""

    pending: int = 0
    sending: int = 0
    sent: int = 0
    refused: int = 0
    skipped: int = 0
    uncertain: int = 0

    @property
    def total(self) -> int:
        return self.pending + self.sending + self.processed

    @property
    def processed(self) -> int:
        return self.sent + self.failed

    @property
    def failed(self) -> int:
        return self.refused + self.skipped + self.uncertain

    @property
    def success_percent(self) -> float:
        """Of those that were processed."""
        return round(self.sent * 100 / self.processed, 1) if self.processed else 0.0

    def as_json(self) -> dict[str, Any]:
        states = {state.value: getattr(self, state.value) for state in Mail.State}
        return states | {
            "total": self.total,
            "processed": self.processed,
            "failed": self.failed,
            "success_percent": self.success_percent,
        }


def totals_of(campaign: Campaign) -> Totals:
    """Counted now; of a finished campaign as they were at its end, but for what a person has decided since."""
    if campaign.totals is not None:
        return Totals(**{state.value: campaign.totals[state.value] for state in Mail.State})
    counted = Mail.objects.filter(campaign=campaign).order_by().values_list("state").annotate(Count("pk", output_field=IntegerField()))
    return Totals(**dict(counted))


def show(campaign: Campaign) -> None:
    """Have people see how far it is; another run that does the same at this moment may be the one that is seen."""
    totals = totals_of(campaign)
    try:
        with checkpoints.take(campaign.work) as track:
            track.report(
                current=totals.processed,
                total=totals.total,
                label=campaign.name,
                counts={"processed": totals.processed, "sent": totals.sent, "failed": totals.failed},
            )
    except Overtaken:
        return


def unsubscribe(mail_id: int) -> str | None:
    """Have no campaign write to the address of this mail any more; the address, or ``None`` if the mail is forgotten."""
    address = Mail.objects.filter(pk=mail_id).values_list("address", flat=True).first()
    if address is not None:
        Suppression.objects.get_or_create(address=address, defaults={"reason": Suppression.Reason.UNSUBSCRIBED})
    return address


def _locked(pk: uuid.UUID) -> Campaign:
    try:
        return Campaign.objects.select_for_update().get(pk=pk)
    except Campaign.DoesNotExist as error:
        raise CampaignUnknown(f"There is no campaign {pk}. If it was deleted, discard this message.") from error


def _parse_id(campaign_id: str) -> uuid.UUID:
    try:
        return uuid.UUID(campaign_id)
    except (ValueError, TypeError, AttributeError) as error:
        raise CampaignUnknown(f"{campaign_id!r:.100} is not the id of a campaign; expected a UUID. Discard this message.") from error
