"""Entry points of workers. Each is retried by the engine when it raises a ``TransientError``."""

from typing import Any

from celery import shared_task

from app.workload.notifications import services


@shared_task(name="notifications.user_notification")
def user_notification(*, user_id: int, kind: str, context: dict[str, Any]) -> bool:
    """Show a person an event, once, and say whether this run did.

    Twice, also as another job: the event's row is there. Killed half-way: row and mail are one transaction.
    """
    return services.notify(user_id=user_id, kind=kind, context=context) is not None


@shared_task(name="notifications.send_mail")
def send_mail(*, notification_id: str) -> bool:
    """Mail a notification. Twice: the row says that it was sent. Killed between sending and marking: the mail goes out again, with the
    same Message-ID, but for the local files, which are asked."""
    return services.send_mail(notification_id)
