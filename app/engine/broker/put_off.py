"""A job that cannot be run now for a reason that is not its own: it waits in SQS and comes again, and that was no attempt.

run ──PutOff──▶ claim given back ──▶ sent again with a delay, then deleted: SQS counts its receives anew
"""

from collections.abc import Mapping
from typing import Any

from celery.exceptions import Reject

#: The message attribute that counts.
TIMES = "put_off"
LONGEST_SECONDS = 60


class PutOff(Reject):
    """Raised in a run: what it needs is away. Another transport gives the message back.

    ``obstacle`` names what is away: :meth:`~app.engine.broker.program.Program.when_put_off` hears of it. With ``seconds`` it is known
    how long: the job waits for so long, and it is not counted as put off.
    """

    def __init__(self, obstacle: str, reason: str, seconds: int | None = None) -> None:
        super().__init__(reason, requeue=True)
        self.obstacle = obstacle
        self.seconds = seconds

    def __reduce__(self) -> Any:
        return type(self), (self.obstacle, str(self.reason), self.seconds)


def times_put_off(request: Any) -> int | None:
    """How often the job of a run (``self.request``) was put off before; ``None`` for a run that did not come from SQS."""
    properties = getattr(request, "properties", None) or {}
    message = (properties.get("delivery_info") or {}).get("sqs_message")
    return None if message is None else counted(message.get("MessageAttributes") or {})


def counted(attributes: Mapping[str, Any]) -> int:
    """What the attributes of a message say; 0 for what no one of us wrote."""
    try:
        return max(int(attributes[TIMES]["StringValue"]), 0)
    except (KeyError, TypeError, ValueError):
        return 0


def pause_seconds(times: int) -> int:
    """How long the message waits that is put off for the ``times``-th time. The worker itself waits until the obstacle is gone."""
    return int(min(2.0 ** min(times, 10), LONGEST_SECONDS))
