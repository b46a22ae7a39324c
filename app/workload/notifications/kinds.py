"""The kinds of notifications: their words, their context, and by what one event is told from another."""

from dataclasses import dataclass
from typing import Annotated, Any

from django.template import Context, Engine
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from app.workload.notifications.errors import NotificationInvalid

LONGEST_TITLE = 200
_ENGINE = Engine(autoescape=False)

Id = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[\w-]+$")]
Words = Annotated[str, Field(min_length=1, max_length=200)]
Count = Annotated[int, Field(ge=0, le=10**9)]


class EventContext(BaseModel):
    """What happened, in values that a message can carry."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class CampaignFinished(EventContext):
    campaign_id: Id
    name: Words
    sent: Count
    failed: Count


class OrderConfirmed(EventContext):
    order_id: Id


class OrderCancelled(EventContext):
    order_id: Id
    reason: Words


class ReportReady(EventContext):
    report_id: Id
    title: Words


class Reminder(EventContext):
    event_id: Id
    title: Words
    text: Annotated[str, Field(max_length=2000)] = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Kind:
    """``title`` and ``text`` are Django templates of the context. ``event`` names the fields that tell one event from another."""

    context: type[EventContext]
    event: tuple[str, ...]
    title: str
    text: str
    by_mail: bool = False

    def __post_init__(self) -> None:
        unknown = set(self.event) - set(self.context.model_fields)
        if unknown or not self.event:
            raise ValueError(f"expected fields of {self.context.__name__} that tell its events apart, got {', '.join(unknown) or 'none'}")


KINDS = {
    "campaign_finished": Kind(
        context=CampaignFinished,
        event=("campaign_id",),
        title="{{ name }} is out",
        text="{{ sent }} sent, {{ failed }} not.",
    ),
    "order_confirmed": Kind(
        context=OrderConfirmed,
        event=("order_id",),
        title="Your order {{ order_id }} is confirmed",
        text="We are packing it.",
    ),
    "order_cancelled": Kind(
        context=OrderCancelled,
        event=("order_id",),
        title="Your order {{ order_id }} was cancelled",
        text="{{ reason }}",
    ),
    "report_ready": Kind(
        context=ReportReady, event=("report_id",), title="{{ title }} is ready", text="You can download it now.", by_mail=True
    ),
    "reminder": Kind(context=Reminder, event=("event_id",), title="{{ title }}", text="{{ text }}"),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """What a person is told. Two with the same key are the same event."""

    kind: str
    key: str
    context: dict[str, Any]
    title: str
    text: str
    by_mail: bool


def read_event(kind: Any, context: Any) -> Event:
    """Raises :class:`~app.workload.notifications.errors.NotificationInvalid`, which names the first field that is wrong."""
    known = KINDS.get(kind) if isinstance(kind, str) else None
    if known is None:
        raise NotificationInvalid(f"There is no kind of notification {kind!r:.100}; there are {', '.join(sorted(KINDS))}.")
    try:
        read = known.context.model_validate(context)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "context"
        raise NotificationInvalid(f"The context of {kind!r} cannot be accepted: {field[:100]}: {first['msg']}.") from error
    values = read.model_dump()
    return Event(
        kind=kind,
        key=":".join((kind, *(str(values[name]) for name in known.event))),
        context=values,
        title=" ".join(_render(known.title, values).split())[:LONGEST_TITLE],
        text=_render(known.text, values),
        by_mail=known.by_mail,
    )


def _render(template: str, values: dict[str, Any]) -> str:
    return _ENGINE.from_string(template).render(Context(values, autoescape=False))
