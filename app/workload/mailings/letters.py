"""What mails say: the templates, the context that each asks for, and one mail made of them."""

from dataclasses import dataclass
from typing import Annotated, Any

from django.conf import settings
from django.core import signing
from django.core.mail import EmailMessage
from django.template.loader import render_to_string
from django.urls import reverse
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from app.engine.mail.post import message_id
from app.workload.mailings.errors import TemplateInvalid

_SALT = "mailings.unsubscribe"

Line = Annotated[str, Field(min_length=1, max_length=150, pattern=r"^[^\r\n]+$")]
Text = Annotated[str, Field(min_length=1, max_length=20_000)]


class LetterContext(BaseModel):
    """The values of a template that are the same for all its recipients."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Newsletter(LetterContext):
    headline: Line
    text: Text


class Announcement(LetterContext):
    subject: Line
    text: Text


class Apology(LetterContext):
    order_id: Line
    reason: Line


@dataclass(frozen=True, kw_only=True, slots=True)
class Template:
    """``subject`` names the field of the context, or is the subject itself. Promotional mails can be unsubscribed from."""

    id: str
    context: type[LetterContext]
    subject: str
    is_promotional: bool

    def subject_of(self, context: dict[str, Any]) -> str:
        return str(context.get(self.subject, self.subject))


TEMPLATES = {
    template.id: template
    for template in (
        Template(id="newsletter", context=Newsletter, subject="headline", is_promotional=True),
        Template(id="announcement", context=Announcement, subject="subject", is_promotional=False),
        Template(id="apology", context=Apology, subject="We are sorry about your order", is_promotional=False),
    )
}


def read_template(template_id: Any, context: Any) -> tuple[Template, dict[str, Any]]:
    """Raises :class:`~app.workload.mailings.errors.TemplateInvalid`, which names the first field that is wrong."""
    template = TEMPLATES.get(template_id) if isinstance(template_id, str) else None
    if template is None:
        raise TemplateInvalid(f"There is no template {template_id!r:.100}; there are {', '.join(sorted(TEMPLATES))}.")
    try:
        return template, template.context.model_validate(context).model_dump()
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "context"
        raise TemplateInvalid(f"The context of {template.id!r} cannot be accepted: {field[:100]}: {first['msg']}.") from error


def letter(template: Template, context: dict[str, Any], *, mail_id: int, address: str, name: str) -> EmailMessage:
    """One mail to one recipient. Its Message-ID is the same each time. Raises ``ValueError`` for what cannot stand in a mail."""
    headers = {"Message-ID": message_id_of(mail_id)}
    values = context | {"name": name, "address": address}
    if template.is_promotional:
        values["unsubscribe_url"] = settings.PUBLIC_URL + reverse("mailings:unsubscribe", kwargs={"token": unsubscribe_token(mail_id)})
        # RFC 8058: mail programs show a button, and post to the address.
        headers |= {"List-Unsubscribe": f"<{values['unsubscribe_url']}>", "List-Unsubscribe-Post": "List-Unsubscribe=One-Click"}
    return EmailMessage(
        subject=template.subject_of(context),
        body=render_to_string(f"mailings/mails/{template.id}.txt", values),
        to=[address],
        headers=headers,
    )


def message_id_of(mail_id: int) -> str:
    return message_id(f"mailing-{mail_id}")


def unsubscribe_token(mail_id: int) -> str:
    """Names the mail that carries it, for ever, and cannot be guessed."""
    return signing.Signer(salt=_SALT).sign(str(mail_id))


def read_unsubscribe_token(token: str) -> int | None:
    """The mail's id, or ``None`` for what we have not signed."""
    try:
        return int(signing.Signer(salt=_SALT).unsign(token))
    except (signing.BadSignature, ValueError):
        return None
