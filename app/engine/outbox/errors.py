"""What publishing raises."""

from app.engine.errors import PermanentError, TransientError


class NotInTransaction(PermanentError):
    """``publish`` was called outside a transaction, where it could promise nothing."""


class UnknownTask(PermanentError):
    """No task of that name is registered, so no worker would ever run it."""


class SendUnanswered(TransientError):
    """SQS did not answer for some messages. They stay in the outbox and will be sent again."""
