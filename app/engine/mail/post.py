"""The way of a mail to its server, by the backend of the settings.

open ── no ──▶ MailUnavailable
  └─ yes ── send ── yes ──▶ (returns)
               ├─ 4xx ────▶ MailDeferred       421, 454: MailUnavailable
               ├─ 5xx ────▶ MailRefused
               └─ silence ▶ MailUncertain
"""

from datetime import datetime
from email.utils import parseaddr
from smtplib import (
    SMTPAuthenticationError,
    SMTPConnectError,
    SMTPException,
    SMTPNotSupportedError,
    SMTPRecipientsRefused,
    SMTPResponseException,
)
from types import TracebackType
from typing import Any, NoReturn, Self

from anymail.exceptions import AnymailAPIError, AnymailError
from django.conf import settings
from django.core.mail import EmailMessage, get_connection

from app.engine.aws.errors import AwsRefused, AwsUnavailable, translated
from app.engine.mail.acceptance import was_accepted
from app.engine.mail.errors import MailDeferred, MailRefused, MailUnavailable, MailUncertain

_PERMANENT_REPLIES = 500
_CLOSING = 421
#: And: authentication is away for the moment.
_SERVERS_OWN_TROUBLE = {_CLOSING, 454}
#: https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html: about this mail or its recipient. All else is about us or SES.
_SES_REFUSES_THE_MAIL = {"MessageRejected", "BadRequestException"}
#: Of botocore's errors without an answer, those that come before the request has left.
_BEFORE_THE_REQUEST = {
    "ConnectTimeoutError",
    "CredentialRetrievalError",
    "EndpointConnectionError",
    "MetadataRetrievalError",
    "NoCredentialsError",
    "ParamValidationError",
    "ProxyConnectionError",
    "SSLError",
}


def message_id(key: str) -> str:
    """A Message-ID of our own for a mail that is known by ``key``, the same each time: mail programs show a second copy once."""
    domain = parseaddr(settings.DEFAULT_FROM_EMAIL)[1].rpartition("@")[2]
    return f"<{key}@{domain}>"


def send(mail: EmailMessage) -> None:
    """Send one mail over a connection of its own. Raises what :meth:`Post.send` raises."""
    with Post() as post:
        post.send(mail)


def send_unless_accepted(mail: EmailMessage, since: datetime) -> None:
    """Send one mail, unless the server can be asked and has had it at ``since`` or later: another run may have died right after sending.

    ``mail`` has a Message-ID header. Raises what :meth:`Post.send` raises.
    """
    if not was_accepted(mail.extra_headers["Message-ID"], since):
        send(mail)


class Post:
    """One connection to the mail server, for one thread. It is opened by the first mail, and again after an error that may have broken it."""

    def __init__(self) -> None:
        self._connection: Any = get_connection()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def open(self) -> None:
        """Connect, if there is no connection. Raises :class:`MailUnavailable`."""
        try:
            # anymail makes its client of SES here, and that asks ECS for the credentials of our role.
            with translated("open the way to SES"):
                self._connection.open()
        except (SMTPException, OSError, AnymailError, AwsUnavailable, AwsRefused) as error:
            self.close()
            raise _unreachable(error) from error

    def send(self, mail: EmailMessage) -> None:
        """Give the mail to the server. Raises the errors of this package and no other."""
        self.open()
        mail.connection = self._connection
        try:
            mail.send()
        except (SMTPException, OSError, AnymailError, ValueError) as error:
            if not _leaves_the_line_open(error):
                self.close()
            _translate(error)

    def close(self) -> None:
        """Hang up. What the server says to it does not matter any more."""
        try:
            self._connection.close()
        except (SMTPException, OSError):
            self._connection = get_connection()


def _leaves_the_line_open(error: Exception) -> bool:
    """For the next mail: a refused recipient does, unless the server hung up with it."""
    if isinstance(error, SMTPRecipientsRefused):
        return _CLOSING not in {code for code, _ in error.recipients.values()}
    return isinstance(error, ValueError)


def _translate(error: Exception) -> NoReturn:
    match error:
        case SMTPRecipientsRefused():
            code, text = max(error.recipients.values(), key=lambda reply: reply[0], default=(0, b""))
            raise _reply(code, text, error) from error
        case SMTPAuthenticationError() | SMTPConnectError():
            # Ours to repair, and then the mail can go.
            raise _unreachable(error) from error
        case SMTPResponseException():
            raise _reply(error.smtp_code, error.smtp_error, error) from error
        case SMTPNotSupportedError():
            raise MailRefused(f"The mail server cannot take this mail: {error}.") from error
        case AnymailAPIError():
            raise _ses(error) from error
        case AnymailError() | ValueError():
            raise MailRefused(f"This is no mail that can be sent: {type(error).__name__}: {str(error)[:200]}") from error
        case _:
            raise MailUncertain(f"The mail server fell silent while it had the mail: {type(error).__name__}.") from error


def _reply(code: int, text: bytes | str, error: Exception) -> MailRefused | MailUnavailable:
    said = text.decode(errors="replace") if isinstance(text, bytes) else str(text)
    words = f"{type(error).__name__}, code {code}: {said[:200]}"
    if code in _SERVERS_OWN_TROUBLE:
        return MailUnavailable(f"The mail server is not there for now: {words}")
    if code >= _PERMANENT_REPLIES:
        # RFC 3463: 5.1.1 to 5.1.10 speak of the address of the recipient.
        return MailRefused(f"The mail server refuses this mail for good: {words}", is_address_dead=said.lstrip().startswith("5.1."))
    return MailDeferred(f"The mail server asks to come back later: {words}")


def _ses(error: AnymailAPIError) -> MailRefused | MailUnavailable:
    cause = error.__cause__
    answer = getattr(cause, "response", None)
    if isinstance(answer, dict):
        code = str(answer.get("Error", {}).get("Code", ""))
        if code in _SES_REFUSES_THE_MAIL:
            return MailRefused(f"SES refuses this mail for good: {code}: {str(cause)[:200]}")
        return MailUnavailable(f"SES takes no mail of ours for now: {code}: {str(cause)[:200]}")
    if type(cause).__name__ in _BEFORE_THE_REQUEST:
        return MailUnavailable(f"SES cannot be reached: {type(cause).__name__}.")
    return MailUncertain(f"SES fell silent while it had the mail: {type(cause).__name__}.")


def _unreachable(error: Exception) -> MailUnavailable:
    code = f", code {error.smtp_code}" if isinstance(error, SMTPResponseException) else ""
    whose = "does not accept our credentials" if isinstance(error, SMTPAuthenticationError) else "cannot be reached"
    return MailUnavailable(f"The mail server {whose}: {type(error).__name__}{code}.")
