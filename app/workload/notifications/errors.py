"""What goes wrong with notifications."""

from app.engine.errors import PermanentError


class NotificationInvalid(PermanentError):
    """There is no such kind or person, or the context is not what the kind asks for. Nothing was shown; correct whoever publishes it."""


class NotificationUnknown(PermanentError):
    """There is no such notification: it was deleted, or the message was made by hand. Discard the message."""
