"""What became of a mail that was not simply accepted. A ``TransientError`` may be sent again; who may not send twice looks at its class."""

from app.engine.errors import PermanentError, TransientError


class MailUnavailable(TransientError):
    """The mail server cannot be reached, is overloaded, or does not accept our credentials. It has not got the mail."""


class MailDeferred(MailUnavailable):
    """The mail server is there, and asks to come back later with this mail. It has not got it."""


class MailUncertain(MailUnavailable):
    """The connection ended while the server had the mail in hand: whether it sends it is not known."""


class MailRefused(PermanentError):
    """The mail server refuses this mail for good, or it cannot be written at all. ``is_address_dead``: it says that there is no such mailbox."""

    def __init__(self, message: str, *, is_address_dead: bool = False) -> None:
        super().__init__(message)
        self.is_address_dead = is_address_dead
