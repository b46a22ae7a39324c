"""What the broker raises."""

from app.engine.errors import PermanentError, TransientError


class UnroutedTask(PermanentError):
    """A task was sent whose name fits no route of the topology."""


class BrokerMisconfigured(PermanentError):
    """``broker_transport_options`` cannot work. The message lists every problem."""


class LeaseLost(TransientError):
    """Somebody else may be running the job of this run: its message was not kept invisible. Nothing of it may be committed."""


class MessageTooLarge(PermanentError):
    """A message exceeds SQS's limit and there is no claim check to carry it."""


class PartlySent(TransientError):
    """Of several messages, SQS did not take some, or did not answer for some."""

    def __init__(self, ids: list[str], refused: dict[int, str], unanswered: dict[int, str]) -> None:
        first = next(iter([*refused.values(), *unanswered.values()]), "")
        super().__init__(
            f"{len(refused)} of {len(ids)} messages were refused, {len(unanswered)} got no answer (some may have arrived): {first}"
        )
        self.ids = ids
        """Of all messages, in their order."""
        self.refused = refused
        """Reasons by position: these were not sent."""
        self.unanswered = unanswered
        """Reasons by position: these may have been sent."""


class UndefinedQueue(PermanentError):
    """A message was sent to a queue that ``predefined_queues`` does not name. Nothing was sent."""
