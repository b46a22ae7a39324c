"""A walk through a dead-letter queue: everything is received once, held meanwhile so that it does not come again, and let go."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from app.engine.aws.errors import translated

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

ENTRIES_PER_BATCH = 10
SHORTEST_HOLD_SECONDS = 10
LONGEST_HOLD_SECONDS = 300
#: What one second of a walk can do at least, on a busy machine.
MESSAGES_PER_SECOND = 50
_SYSTEM_ATTRIBUTES: Any = ("ApproximateReceiveCount", "SentTimestamp", "MessageGroupId")
#: A long poll asks all of SQS's servers: an empty answer means that nothing is visible.
_WAIT_SECONDS = 1


def hold_for(messages: int) -> int:
    """How many seconds a walk past so many messages may take."""
    return min(SHORTEST_HOLD_SECONDS + messages // MESSAGES_PER_SECOND, LONGEST_HOLD_SECONDS)


class Walk:
    """Raises :class:`~app.engine.aws.errors.AwsUnavailable` or ``AwsRefused``.

    What a walker that died had in hand is visible again after ``hold_seconds``.
    """

    def __init__(self, sqs: "SQSClient", url: str, *, hold_seconds: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._sqs = sqs
        self._url = url
        self.hold_seconds = hold_seconds
        self._clock = clock
        self._held: dict[str, tuple[str, float]] = {}

    def receive(self, most: int = ENTRIES_PER_BATCH) -> Sequence[Mapping[str, Any]]:
        """The next messages; nothing if none is visible."""
        asked_at = self._clock()
        with translated("receive dead letters"):
            answer = self._sqs.receive_message(
                QueueUrl=self._url,
                MaxNumberOfMessages=min(most, ENTRIES_PER_BATCH),
                VisibilityTimeout=self.hold_seconds,
                WaitTimeSeconds=_WAIT_SECONDS,
                MessageSystemAttributeNames=list(_SYSTEM_ATTRIBUTES),
                MessageAttributeNames=["All"],
            )
        messages: Sequence[Mapping[str, Any]] = answer.get("Messages") or ()
        for raw in messages:
            self._held[raw["MessageId"]] = (raw["ReceiptHandle"], asked_at + self.hold_seconds)
        return messages

    def delete(self, message_ids: Iterable[str]) -> int:
        """Delete messages in hand, and return how many SQS says it has. One whose hold is over stays: whoever sees it next deletes it."""
        deleted = 0
        for some in _tens([one for one in message_ids if one in self._held]):
            entries: Any = [{"Id": str(position), "ReceiptHandle": self._held.pop(one)[0]} for position, one in enumerate(some)]
            with translated("delete dead letters"):
                answer = self._sqs.delete_message_batch(QueueUrl=self._url, Entries=entries)
            deleted += len(answer.get("Successful") or ())
        return deleted

    def let_go(self) -> None:
        """Let others see at once what is still in hand. What SQS refuses is visible already, or will be soon."""
        now = self._clock()
        held = [handle for handle, until in self._held.values() if until > now]
        self._held.clear()
        for some in _tens(held):
            entries: Any = [{"Id": str(position), "ReceiptHandle": handle, "VisibilityTimeout": 0} for position, handle in enumerate(some)]
            with translated("let go of dead letters"):
                self._sqs.change_message_visibility_batch(QueueUrl=self._url, Entries=entries)


def _tens(items: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(items), ENTRIES_PER_BATCH):
        yield items[start : start + ENTRIES_PER_BATCH]
