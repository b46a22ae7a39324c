"""What the broker raises."""

from app.engine.errors import TransientError


class BrokerUnavailable(TransientError):
    """SQS took none of a batch. Nothing was sent, or the answer was lost: sending again may double, never lose."""
