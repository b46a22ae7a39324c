"""Entry points of workers. Each is retried by the engine when it raises a ``TransientError``."""

from typing import Any

from celery import shared_task

from app.workload.mailings import event_mails, services
from app.workload.mailings.delivery import Run


@shared_task(name="mailings.process_bulk_emails")
def process_bulk_emails(*, campaign_id: str) -> dict[str, Any]:
    """Begin a walk through what is left of a campaign. Twice: another round for what is left then, and the earlier one leads no further.
    Killed half-way: a round and its first chunks are one transaction."""
    return services.process_bulk_emails(campaign_id)


@shared_task(name="mailings.send_chunk", bind=True)
def send_chunk(self: Any, *, campaign_id: str, round_: int, chunk: int) -> dict[str, int]:
    """Send what is left of one chunk. Twice: each mail is claimed before it is sent, and what was sent is not left. Killed half-way: the
    mail in hand is looked up at the server before anybody sends it again, and if that cannot say, nobody does."""
    return services.send_chunk(campaign_id, round_, chunk, Run.of(self.request))


@shared_task(name="mailings.send_templated_email", bind=True)
def send_templated_email(self: Any, *, user_id: int, template_id: str, event: str, context: dict[str, Any]) -> dict[str, Any]:
    """Mail one user once per event. Twice, also as another job: the event's row says what became of it. Killed half-way: as a chunk's."""
    mail = event_mails.send_templated_email(
        user_id=user_id, template_id=template_id, event=event, context=context, run=Run.of(self.request)
    )
    return {"mail_id": mail.pk, "state": mail.state}


@shared_task(name="mailings.resume_unfinished")
def resume_unfinished() -> int:
    """Begin another round of campaigns that nobody works on. Twice: what was just touched is not forgotten. Killed: one transaction."""
    return services.resume_unfinished()
