"""``/api/mailings``: campaigns of the token's owner, for owners who may make campaigns; and single mails, for who may send them."""

import re
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any

from django.http import HttpRequest, HttpResponse
from ninja import Path, Router, Schema
from pydantic import AfterValidator, ConfigDict, Field

from app.api.addresses import address_of
from app.api.errors import FieldError, Problem
from app.api.idempotency import Answer, IdempotencyKey, answer_once
from app.api.paging import Cursor, Limit, page_of
from app.api.problems import problem_responses, standard_problem
from app.api.schemas import RequestBody
from app.engine.progress.reading import read
from app.workload.mailings import event_mails, services
from app.workload.mailings.errors import RecipientUnknown, StateContradicts, TemplateInvalid
from app.workload.mailings.letters import TEMPLATES
from app.workload.mailings.models import LONGEST_EVENT, Campaign, Mail

router = Router(tags=["mailings"])

PERMISSION = "mailings.add_campaign"
MAIL_PERMISSION = "mailings.add_mail"
MOST_RECIPIENTS = 5000
"""In one request; a longer list comes in several."""
_ADDRESS = re.compile(r"[^\s@<>,;:\"()\[\]\\\x00-\x1f\x7f]+@[^\s@<>,;:\"()\[\]\\\x00-\x1f\x7f]+\.[^\s@.<>,;:\"()\[\]\\\x00-\x1f\x7f]+")


def _check_address(address: str) -> str:
    # Thousands come in one request; what is wrong with one that looks right, the mail server says.
    if not _ADDRESS.fullmatch(address):
        raise ValueError("expected an e-mail address")
    return address


def _check_date(text: str) -> str:
    try:
        return datetime.fromisoformat(text).astimezone(UTC).isoformat()
    except (ValueError, OverflowError) as error:
        raise ValueError("expected a moment such as 2026-01-31T12:00:00Z") from error


Moment = Annotated[str, AfterValidator(_check_date), Field(max_length=40)]
Address = Annotated[str, AfterValidator(_check_address), Field(max_length=254)]
Addresses = Annotated[list[Address], Field(min_length=1, max_length=MOST_RECIPIENTS)]


class Audience(RequestBody):
    """Which users get it: all active ones with an address, narrowed by what is given. They are found when the campaign starts."""

    joined_since: Annotated[Moment | None, Field(description="Who joined at that moment or later.")] = None
    is_staff: Annotated[bool | None, Field(description="Only staff, or only others.")] = None


class CampaignRequest(RequestBody):
    """What to send to whom: either an audience or recipients."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "Autumn sale",
                    "template": "newsletter",
                    "context": {"headline": "All books half price", "text": "Until Sunday."},
                    "recipients": ["ada@example.com", "alan@example.com"],
                }
            ]
        }
    )

    name: Annotated[str, Field(min_length=1, max_length=150, pattern=r"^[^\r\n]+$")]
    template: Annotated[str, Field(max_length=64, json_schema_extra={"enum": sorted(TEMPLATES)})]
    context: dict[str, Any]
    audience: Audience | None = None
    recipients: Addresses | None = None


class RecipientsRequest(RequestBody):
    """More addresses for a draft."""

    recipients: Addresses


class CampaignTotals(Schema):
    """How many mails are where. `failed` are those that were refused, skipped or are uncertain."""

    total: int
    processed: int
    sent: int
    failed: int
    pending: int
    sending: int
    refused: int
    skipped: int = Field(description="Their address has unsubscribed or does not exist.")
    uncertain: int = Field(description="The mail server fell silent, or a worker died, with the mail in hand: it is not sent again.")
    success_percent: float


class Shown(Schema):
    """How far it is: never less than before."""

    current: int
    total: int | None
    percent: int | None


class Links(Schema):
    self: str


class CampaignAnswer(Schema):
    """A campaign as it is now."""

    id: uuid.UUID
    name: str
    template: str
    state: Campaign.State
    trouble: str | None = Field(description="Why nothing goes out for now; it is tried again.")
    totals: CampaignTotals
    progress: Shown | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    links: Links


class CampaignPage(Schema):
    """Some campaigns, newest first."""

    items: list[CampaignAnswer]
    next_cursor: str | None = Field(description="Send it as `cursor` to get the next page; null on the last.")


class MailRequest(RequestBody):
    """One mail to one user, about something that happened."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"user_id": 1, "template": "apology", "event": "apology:1815", "context": {"order_id": "1815", "reason": "It is sold out."}}
            ]
        }
    )

    user_id: Annotated[int, Field(ge=1, lt=2**63)]
    template: Annotated[str, Field(max_length=64, json_schema_extra={"enum": sorted(TEMPLATES)})]
    event: Annotated[str, Field(min_length=1, max_length=LONGEST_EVENT, pattern=r"^[\w.:-]+$", description="An event has one mail.")]
    context: dict[str, Any]


class MailAnswer(Schema):
    """What became of the mail of an event."""

    event: str
    template: str
    user_id: int | None
    state: Mail.State = Field(description="`sent`, `refused`, `skipped` and `uncertain` are final.")
    reason: str | None = Field(description="Why it was not sent, or nobody knows.")
    settled_at: datetime | None
    links: Links


_POSTED = problem_responses(400, 401, 403, 404, 409, 413, 415, 422, 503)


@router.post(
    "",
    response={201: CampaignAnswer},
    summary="Make a campaign",
    url_name="mailings",
    openapi_extra=problem_responses(400, 401, 403, 409, 413, 415, 422, 503),
)
def create_campaign(request: HttpRequest, payload: CampaignRequest, idempotency_key: IdempotencyKey = None) -> HttpResponse:
    """Make a draft. Nothing is sent before it is started."""
    _check_right(request)
    return answer_once(request, idempotency_key, lambda: _create(request, payload))


@router.get("", response=CampaignPage, summary="List campaigns", openapi_extra=problem_responses(401, 422, 503))
def list_campaigns(
    request: HttpRequest,
    limit: Limit = 20,
    cursor: Cursor = None,
) -> CampaignPage:
    """The token owner's campaigns, newest first."""
    mine = Campaign.objects.filter(owner_id=request.user.pk)
    page, next_cursor = page_of(mine, limit=limit, cursor=cursor)
    return CampaignPage(items=[_answer(request, campaign) for campaign in page], next_cursor=next_cursor)


@router.post(
    "/mails",
    response={201: MailAnswer},
    summary="Mail one user",
    openapi_extra=problem_responses(400, 401, 403, 409, 413, 415, 422, 503),
)
def create_mail(request: HttpRequest, payload: MailRequest, idempotency_key: IdempotencyKey = None) -> HttpResponse:
    """Have one user mailed in the background, once per event: the same request again changes nothing."""
    _check_right(request, MAIL_PERMISSION, "mail users")
    return answer_once(request, idempotency_key, lambda: _request_mail(request, payload))


@router.get(
    "/mails/{event}",
    response=MailAnswer,
    summary="Read the mail of an event",
    url_name="mail",
    openapi_extra=problem_responses(401, 403, 404, 422, 503),
)
def read_mail(request: HttpRequest, event: Annotated[str, Path(max_length=LONGEST_EVENT)]) -> MailAnswer:
    """What became of it."""
    _check_right(request, MAIL_PERMISSION, "mail users")
    mail = None if "\0" in event else Mail.objects.filter(event=event).first()
    if mail is None:
        raise Problem(404, detail=f"There is no mail of the event {event}.")
    return _mail_answer(request, mail)


@router.get(
    "/{campaign_id}",
    response=CampaignAnswer,
    summary="Read a campaign",
    url_name="mailing",
    openapi_extra=problem_responses(401, 404, 422, 503),
)
def read_campaign(request: HttpRequest, campaign_id: uuid.UUID) -> CampaignAnswer:
    """A campaign of the token's owner, with its counts and progress."""
    return _answer(request, _mine(request, campaign_id))


@router.post("/{campaign_id}/recipients", response=CampaignAnswer, summary="Add recipients to a draft", openapi_extra=_POSTED)
def add_recipients(
    request: HttpRequest, campaign_id: uuid.UUID, payload: RecipientsRequest, idempotency_key: IdempotencyKey = None
) -> HttpResponse:
    """Add addresses. One that is there already stays there once, so the same request may be sent again."""
    return _change(request, campaign_id, idempotency_key, lambda pk: services.add_recipients(pk, payload.recipients))


@router.post("/{campaign_id}/start", response=CampaignAnswer, summary="Start a campaign, or go on with it", openapi_extra=_POSTED)
def start_campaign(request: HttpRequest, campaign_id: uuid.UUID, idempotency_key: IdempotencyKey = None) -> HttpResponse:
    """Have it sent. Again: nothing changes."""
    return _change(request, campaign_id, idempotency_key, services.start)


@router.post("/{campaign_id}/pause", response=CampaignAnswer, summary="Pause a campaign", openapi_extra=_POSTED)
def pause_campaign(request: HttpRequest, campaign_id: uuid.UUID, idempotency_key: IdempotencyKey = None) -> HttpResponse:
    """Have nothing more sent until it is started again."""
    return _change(request, campaign_id, idempotency_key, services.pause)


@router.post("/{campaign_id}/cancel", response=CampaignAnswer, summary="Cancel a campaign", openapi_extra=_POSTED)
def cancel_campaign(request: HttpRequest, campaign_id: uuid.UUID, idempotency_key: IdempotencyKey = None) -> HttpResponse:
    """End it for good."""
    return _change(request, campaign_id, idempotency_key, services.cancel)


def _check_right(request: HttpRequest, permission: str = PERMISSION, what: str = "make campaigns") -> None:
    if not request.user.is_authenticated:
        raise standard_problem(401)
    if not request.user.has_perm(permission):
        raise Problem(403, detail=f"The owner of this token may not {what}: give the user the permission {permission}.")


def _mine(request: HttpRequest, campaign_id: uuid.UUID) -> Campaign:
    campaign = Campaign.objects.filter(owner_id=request.user.pk, pk=campaign_id).first()
    if campaign is None:
        raise Problem(404, detail=f"You have no campaign {campaign_id}.")
    return campaign


def _create(request: HttpRequest, payload: CampaignRequest) -> Answer:
    if not request.user.is_authenticated:
        raise standard_problem(401)
    if (payload.audience is None) == (payload.recipients is None):
        raise _refused("recipients", "expected either an audience or recipients")
    try:
        campaign = services.create_campaign(
            owner=request.user,
            name=payload.name,
            template_id=payload.template,
            context=payload.context,
            audience=None if payload.audience is None else payload.audience.model_dump(),
            addresses=payload.recipients or (),
        )
    except TemplateInvalid as error:
        raise _refused("context" if payload.template in TEMPLATES else "template", str(error)) from error
    return Answer(status=201, body=_answer(request, campaign).model_dump(mode="json"))


def _request_mail(request: HttpRequest, payload: MailRequest) -> Answer:
    try:
        mail = event_mails.request_mail(user_id=payload.user_id, template_id=payload.template, event=payload.event, context=payload.context)
    except TemplateInvalid as error:
        raise _refused("context" if payload.template in TEMPLATES else "template", str(error)) from error
    except RecipientUnknown as error:
        raise _refused("user_id", f"There is no user {payload.user_id} with an address.") from error
    except StateContradicts as error:
        raise Problem(409, title="The event has another mail", detail=str(error)) from error
    return Answer(status=201, body=_mail_answer(request, mail).model_dump(mode="json"))


def _mail_answer(request: HttpRequest, mail: Mail) -> MailAnswer:
    return MailAnswer(
        event=mail.event or "",
        template=mail.template_id,
        user_id=mail.user_id,
        state=Mail.State(mail.state),
        reason=mail.reason or None,
        settled_at=mail.settled_at,
        links=Links(self=address_of(request, "mail", event=mail.event)),
    )


def _change(
    request: HttpRequest, campaign_id: uuid.UUID, idempotency_key: str | None, change: Callable[[uuid.UUID], Campaign]
) -> HttpResponse:
    def carry_out() -> Answer:
        try:
            campaign = change(_mine(request, campaign_id).pk)
        except StateContradicts as error:
            raise Problem(409, title="The campaign is in another state", detail=str(error)) from error
        return Answer(status=200, body=_answer(request, campaign).model_dump(mode="json"))

    _check_right(request)
    return answer_once(request, idempotency_key, carry_out)


def _refused(field: str, reason: str) -> Problem:
    return Problem(422, detail="Some fields cannot be accepted.", errors=[FieldError(where="body", field=field, reason=reason)])


def _answer(request: HttpRequest, campaign: Campaign) -> CampaignAnswer:
    progress = read(campaign.work)
    return CampaignAnswer(
        id=campaign.pk,
        name=campaign.name,
        template=campaign.template_id,
        state=Campaign.State(campaign.state),
        trouble=campaign.trouble or None,
        totals=CampaignTotals(**services.totals_of(campaign).as_json()),
        progress=Shown(current=progress.current, total=progress.total, percent=progress.percent) if progress else None,
        created_at=campaign.created_at,
        started_at=campaign.started_at,
        finished_at=campaign.finished_at,
        links=Links(self=address_of(request, "mailing", campaign_id=campaign.pk)),
    )
