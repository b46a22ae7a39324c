"""One mail to one user about something that happened: once per event, whoever asks for it and however often."""

import logging
from typing import Any

from django.contrib.auth import get_user_model
from django.db import transaction

from app.engine.mail.errors import MailUncertain
from app.engine.outbox.publisher import publish
from app.workload.mailings.delivery import Deliverer, Run, skip
from app.workload.mailings.errors import MailUnderWay, RecipientUnknown, StateContradicts
from app.workload.mailings.letters import letter, read_template
from app.workload.mailings.models import LONGEST_EVENT, Mail, Suppression

logger = logging.getLogger(__name__)

_LARGEST_ID = 2**63


def request_mail(*, user_id: int, template_id: str, event: str, context: dict[str, Any]) -> Mail:
    """Have one user mailed once per event: the row and the message that has it sent are there together or not at all.

    The same once more changes nothing. Raises :class:`RecipientUnknown`, :class:`TemplateInvalid`, and :class:`StateContradicts` if the
    event has another mail.
    """
    with transaction.atomic():
        mail, is_new = _mail_of_event(user_id, template_id, event, context)
        _, values = read_template(template_id, context)
        if not is_new and (mail.user_id, mail.template_id, mail.context) != (user_id, template_id, values):
            raise StateContradicts(f"The event {event} has a mail already, with another user, template or context.")
        if is_new:
            publish("mailings.send_templated_email", user_id=user_id, template_id=template_id, event=event, context=context)
    return mail


def send_templated_email(*, user_id: Any, template_id: Any, event: Any, context: Any, run: Run) -> Mail:
    """Mail one user once per event, and return what became of it.

    Not even who has unsubscribed is left out: such mails are about something that the user did. Raises :class:`RecipientUnknown`,
    :class:`TemplateInvalid`, and what may be tried again.
    """
    mail, _ = _mail_of_event(user_id, template_id, event, context)
    deliverer = Deliverer(run=run)
    if mail.state == Mail.State.SENDING:
        deliverer.recover(mail)
    if mail.state == Mail.State.SENDING:
        raise MailUnderWay(f"Another run has the mail of {event} in hand.")
    if mail.state == Mail.State.PENDING:
        if Suppression.objects.filter(address=mail.address, reason=Suppression.Reason.BOUNCED).exists():
            skip(mail)
        else:
            _deliver_one(deliverer, mail)
    mail.refresh_from_db()
    return mail


def _mail_of_event(user_id: Any, template_id: Any, event: Any, context: Any) -> tuple[Mail, bool]:
    """The event's mail, and whether it is new."""
    template, values = read_template(template_id, context)
    user = get_user_model().objects.filter(pk=user_id).first() if isinstance(user_id, int) and 0 < user_id < _LARGEST_ID else None
    if user is None or not user.email or not isinstance(event, str) or not 0 < len(event) <= LONGEST_EVENT:
        raise RecipientUnknown(f"There is no user {user_id!r:.100} with an address, or no event {event!r:.100}. Discard this message.")
    return Mail.objects.get_or_create(
        event=event,
        defaults={
            "user": user,
            "template_id": template.id,
            "context": values,
            "address": user.email.lower(),
            "name": user.first_name,
        },
    )


def _deliver_one(deliverer: Deliverer, mail: Mail) -> None:
    template, values = read_template(mail.template_id, mail.context)
    with deliverer.post:
        try:
            deliverer.deliver(mail, letter(template, values, mail_id=mail.pk, address=mail.address, name=mail.name))
        except MailUncertain:
            # It is not sent again: once is enough, and perhaps it was.
            logger.warning("mail uncertain", extra={"mail": mail.pk})
