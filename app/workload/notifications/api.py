"""``/api/notifications``: what the token's owner is told."""

import uuid
from datetime import datetime
from typing import Annotated, Any

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from ninja import Query, Router, Schema
from pydantic import ConfigDict, Field

from app.api.errors import FieldError, Problem
from app.api.idempotency import KEY_HEADER, Answer, answer_once
from app.api.paging import Cursor, Limit, page_of
from app.api.problems import problem_responses, standard_problem
from app.api.schemas import RequestBody
from app.workload.notifications import services
from app.workload.notifications.errors import NotificationInvalid
from app.workload.notifications.kinds import KINDS
from app.workload.notifications.models import Notification

router = Router(tags=["notifications"])


class NotificationRequest(RequestBody):
    """What the owner is to be told."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"kind": "reminder", "context": {"event_id": "call-ada", "title": "Call Ada", "text": "At noon."}}]}
    )

    kind: Annotated[str, Field(max_length=64, description="What happened.", json_schema_extra={"enum": sorted(KINDS)})]
    context: Annotated[dict[str, Any], Field(description="Its values; some of them tell one event of this kind from another.")]


class Requested(Schema):
    event: str = Field(description="The same event is shown once.", examples=["reminder:call-ada"])


class NotificationAnswer(Schema):
    """What the owner was told of one event."""

    id: uuid.UUID
    event: str = Field(examples=["reminder:call-ada"])
    kind: str = Field(examples=["reminder"])
    title: str = Field(examples=["Call Ada"])
    text: str = Field(examples=["At noon."])
    mailing: Notification.Mailing = Field(description="`none`: its kind is not mailed; `unmailed`: the mail was refused for good.")
    created_at: datetime
    read_at: datetime | None


class NotificationPage(Schema):
    """Some notifications, newest first."""

    items: list[NotificationAnswer]
    next_cursor: str | None = Field(description="Send it as `cursor` to get the next page; null on the last.")


class Unread(Schema):
    unread: int = Field(examples=[3])


IdempotencyKey = Annotated[
    str | None,
    KEY_HEADER(description="The same key and body get the same answer for 24 hours. Without one, too, an event is shown once."),
]


@router.post(
    "",
    response={202: Requested},
    summary="Notify yourself",
    openapi_extra=problem_responses(400, 401, 409, 413, 415, 422, 503),
)
def create_notification(request: HttpRequest, payload: NotificationRequest, idempotency_key: IdempotencyKey = None) -> HttpResponse:
    """Have the token's owner told of an event, soon and once."""
    return answer_once(request, idempotency_key, lambda: _accept(request, payload))


@router.get("", response=NotificationPage, summary="List notifications", openapi_extra=problem_responses(401, 422, 503))
def list_notifications(
    request: HttpRequest,
    unread: Annotated[bool, Query(description="Only those that were not read.")] = False,
    limit: Limit = 20,
    cursor: Cursor = None,
) -> NotificationPage:
    """The token owner's notifications, newest first."""
    mine = _of(request)
    if unread:
        mine = mine.filter(read_at=None)
    page, next_cursor = page_of(mine, limit=limit, cursor=cursor)
    return NotificationPage(items=[_answer(notification) for notification in page], next_cursor=next_cursor)


@router.get("/unread", response=Unread, summary="Count unread notifications", openapi_extra=problem_responses(401, 503))
def count_unread(request: HttpRequest) -> Unread:
    """How many the token's owner has not read."""
    return Unread(unread=_of(request).filter(read_at=None).count())


@router.post(
    "/{notification_id}/read",
    response=NotificationAnswer,
    summary="Mark a notification as read",
    openapi_extra=problem_responses(401, 404, 422, 503),
)
def mark_read(request: HttpRequest, notification_id: uuid.UUID) -> NotificationAnswer:
    """Note that the owner has seen it. Again: nothing changes."""
    if not request.user.is_authenticated:
        raise standard_problem(401)
    notification = services.mark_read(user=request.user, notification_id=notification_id)
    if notification is None:
        raise Problem(404, detail=f"You have no notification {notification_id}.")
    return _answer(notification)


def _of(request: HttpRequest) -> "QuerySet[Notification]":
    if not request.user.is_authenticated:
        raise standard_problem(401)
    return Notification.objects.filter(user_id=request.user.pk)


def _accept(request: HttpRequest, payload: NotificationRequest) -> Answer:
    if not request.user.is_authenticated:
        raise standard_problem(401)
    try:
        event = services.request_notification(user=request.user, kind=payload.kind, context=payload.context)
    except NotificationInvalid as error:
        field = "context" if payload.kind in KINDS else "kind"
        raise Problem(
            422, detail="Some fields cannot be accepted.", errors=[FieldError(where="body", field=field, reason=str(error))]
        ) from error
    return Answer(status=202, body={"event": event})


def _answer(notification: Notification) -> NotificationAnswer:
    return NotificationAnswer(
        id=notification.pk,
        event=notification.event,
        kind=notification.kind,
        title=notification.title,
        text=notification.text,
        mailing=Notification.Mailing(notification.mailing),
        created_at=notification.created_at,
        read_at=notification.read_at,
    )
