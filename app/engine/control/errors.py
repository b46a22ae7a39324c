"""What may go wrong with a command before any worker sees it."""

from app.engine.errors import PermanentError, TransientError


class ControlRefused(PermanentError):
    """The command cannot be meant: a queue that does not exist, a whole fleet where one worker has to be named."""


class MailboxBusy(TransientError):
    """So many others posted at the same time that this command found no place in the log. Nobody has seen it: post it again."""
