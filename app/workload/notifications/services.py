"""What is done with notifications."""

import uuid
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractBaseUser
from django.core.mail import EmailMessage
from django.db import transaction
from django.template.loader import render_to_string
from django.utils import timezone

from app.engine.mail.errors import MailRefused
from app.engine.mail.post import message_id, send_unless_accepted
from app.engine.outbox.publisher import publish
from app.workload.notifications.errors import NotificationInvalid, NotificationUnknown
from app.workload.notifications.kinds import read_event
from app.workload.notifications.models import Notification

_LONGEST_REASON = 500
_LARGEST_ID = 2**63


def request_notification(*, user: AbstractBaseUser, kind: str, context: dict[str, Any]) -> str:
    """Have a person told, soon, and return the key of the event. Raises :class:`NotificationInvalid`, and then nothing is published."""
    event = read_event(kind, context)
    with transaction.atomic():
        publish("notifications.user_notification", user_id=user.pk, kind=kind, context=event.context)
    return event.key


def notify(*, user_id: Any, kind: Any, context: Any) -> Notification | None:
    """Show a person an event, unless it is shown already; then return nothing. The mail is published in the same transaction.

    A twin waits in the unique index for the first to commit. Raises :class:`NotificationInvalid`.
    """
    event = read_event(kind, context)
    user = (
        get_user_model().objects.filter(pk=user_id, is_active=True).first()
        if isinstance(user_id, int) and 0 < user_id < _LARGEST_ID
        else None
    )
    if user is None:
        raise NotificationInvalid(f"There is no active user {user_id!r:.100} to be told of {event.key}. Discard this message.")
    mailing = Notification.Mailing.DUE if event.by_mail else Notification.Mailing.NONE
    with transaction.atomic():
        notification, is_first = Notification.objects.get_or_create(
            user=user,
            event=event.key,
            defaults={"kind": kind, "title": event.title, "text": event.text, "context": event.context, "mailing": mailing},
        )
        if is_first and event.by_mail:
            publish("notifications.send_mail", notification_id=str(notification.pk))
    return notification if is_first else None


def send_mail(notification_id: str) -> bool:
    """Mail a notification that is due to be, and return whether this call did.

    Once, as twins wait for each other at the row. At least once when killed between sending and committing, but for the local files, which
    are asked: the second mail then has the same Message-ID. What the server refuses for good stands at the row with its reason. Raises what may be tried again.
    """
    with transaction.atomic():
        try:
            locked = Notification.objects.select_for_update(of=("self",)).select_related("user")
            notification = locked.get(pk=uuid.UUID(notification_id))
        except (Notification.DoesNotExist, ValueError, TypeError, AttributeError) as error:
            raise NotificationUnknown(f"There is no notification {notification_id!r:.100}. Discard this message.") from error
        # | due ── the server has it ──▶ mailed |  due ── refused ──▶ unmailed |  else ──▶ as it is |
        if notification.mailing != Notification.Mailing.DUE:
            return False
        refusal = _refusal_of(notification)
        if refusal:
            notification.mailing, notification.mailing_reason = Notification.Mailing.UNMAILED, refusal[:_LONGEST_REASON]
        else:
            notification.mailing, notification.mailed_at = Notification.Mailing.MAILED, timezone.now()
        notification.save(update_fields=["mailing", "mailed_at", "mailing_reason"])
    return notification.mailing == Notification.Mailing.MAILED


def _refusal_of(notification: Notification) -> str:
    """Send it; why it was refused for good, or nothing."""
    if not notification.user.email:
        return "The user has no address."
    try:
        send_unless_accepted(_mail_of(notification), notification.created_at)
    except MailRefused as refused:
        return str(refused)
    return ""


def _mail_of(notification: Notification) -> EmailMessage:
    return EmailMessage(
        subject=notification.title,
        body=render_to_string("notifications/mail.txt", {"notification": notification}),
        to=[notification.user.email],
        headers={"Message-ID": message_id(f"notification-{notification.pk}")},
    )


def mark_read(*, user: AbstractBaseUser, notification_id: uuid.UUID) -> Notification | None:
    """Note that its owner has seen it, the first time; ``None`` if this person has no such notification."""
    mine = Notification.objects.filter(user_id=user.pk, pk=notification_id)
    mine.filter(read_at=None).update(read_at=timezone.now())
    return mine.first()
