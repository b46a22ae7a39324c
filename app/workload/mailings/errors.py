"""What goes wrong with mailings. A recipient that is refused does not: it is an outcome."""

from app.engine.errors import PermanentError, TransientError


class CampaignUnknown(PermanentError):
    """There is no such campaign, or the id is none: the message was made by hand, or the row was deleted. Discard it."""


class TemplateInvalid(PermanentError):
    """There is no such template, or the context is not what it asks for. Nothing is sent; correct whoever asked."""


class StateContradicts(PermanentError):
    """The campaign is in another state than what was asked for needs. Nothing has changed."""


class RecipientUnknown(PermanentError):
    """There is no such user, or it has no address. Nothing is sent."""


class MailUnderWay(TransientError):
    """Another run has this very mail in hand. The next attempt finds out what became of it."""
