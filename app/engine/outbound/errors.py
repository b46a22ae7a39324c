"""Why a call came to nothing."""

from app.engine.errors import PermanentError, TransientError


class CallRefused(PermanentError):
    """The address, or that of a redirect, is none that we call. Nothing was sent there."""


class AnswerUnusable(PermanentError):
    """The server answered with more than we take, or with what cannot be read."""


class PartnerAway(TransientError):
    """No name, no connection, or no whole answer in time. Whether the server has acted is not known."""
