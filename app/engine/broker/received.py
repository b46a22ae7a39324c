"""A message in hand."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from app.engine.broker.lineage import REDRIVE, Lineage

#: The message attributes of a dead letter.
REASON = "reason"
CAUSE = "cause"
#: That of a message whose task no worker knew.
PARKED_SINCE = "parked_since"

#: In a payload: the inner body as it was inspected, for the message that kombu makes of it.
DECODED = "decoded"


@dataclass(slots=True, eq=False)
class Received:
    """One delivery of one message, from its receive until SQS has confirmed what became of it."""

    queue: str
    url: str
    raw: dict[str, Any]
    """As SQS gave it, body included: what goes to the dead letters is this."""
    received_at: float
    """Monotonic."""
    payload: dict[str, Any] = field(default_factory=dict)
    """What kombu makes a message of."""
    task: str = ""
    task_id: str = ""
    claim: str | None = None
    """The S3 key of its body, if that did not fit into a message."""
    handle: str = ""
    """The newest receipt handle: only that one deletes."""
    tag: str = ""
    """The first receipt handle, by which kombu and Celery know the delivery."""
    taken_at: float = 0.0
    """When a slot took it, monotonic."""
    fence: int | None = None
    """Of its claim in the ledger of jobs, if there is one."""
    fenced_at: float = 0.0
    """When that was made or renewed, monotonic."""
    lineage: Lineage | None = None
    """Of a job that was sent back from the dead letters before."""
    is_lost: bool = False
    """Its lease lapsed: somebody else may have it."""

    def __post_init__(self) -> None:
        self.handle = self.tag = self.raw["ReceiptHandle"]

    @property
    def message_id(self) -> str:
        return str(self.raw.get("MessageId", self.tag))

    @property
    def identity(self) -> tuple[str, str]:
        """The same for every delivery of the message: the address of its queue, and its id."""
        return self.url, self.message_id

    @property
    def receive_count(self) -> int:
        return int(self.raw.get("Attributes", {}).get("ApproximateReceiveCount", 1))

    @property
    def message_attributes(self) -> dict[str, Any]:
        attributes: dict[str, Any] = self.raw.get("MessageAttributes") or {}
        return attributes

    @property
    def system_attributes(self) -> Mapping[str, str]:
        """What SQS says of the message itself: how often received, when sent, which group."""
        attributes: Mapping[str, str] = self.raw.get("Attributes") or {}
        return attributes

    @property
    def is_redriven(self) -> bool:
        """Whether somebody has sent it back from the dead letters: it says so, or it still carries the cause of its death."""
        return not self.message_attributes.keys().isdisjoint((REDRIVE, CAUSE))

    @property
    def redrives(self) -> int:
        return self.lineage.count if self.lineage else 0
