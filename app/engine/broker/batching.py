"""Ten messages a request, with a partial failure as the normal answer."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from app.engine.aws.errors import is_transient
from app.engine.aws.wire import Unanswered

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

#: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessageBatch.html
ENTRIES_PER_BATCH = 10
BYTES_PER_BATCH = 1024 * 1024


class SendBatch:
    """Takes ``send_message`` calls the way boto3's client does, keeps them, and sends them together.

    Afterwards ``failures`` maps the position of a message (in order of publishing) to the reason why SQS refused that one,
    and ``unanswered`` to the reason why SQS did not answer for it: it was not sent, or its answer was lost. All others are sent.
    """

    def __init__(self) -> None:
        self._requests: list[dict[str, Any]] = []
        self.failures: dict[int, str] = {}
        self.unanswered: dict[int, str] = {}

    def send_message(self, **request: Any) -> None:
        self._requests.append(request)

    def send(self, client: "SQSClient") -> None:
        """Send everything, or stop at the first request without an answer: SQS is away, and asking on would only take time."""
        for queue_url, positions in self._per_queue().items():
            for chunk in self._chunks(positions):
                self._send_chunk(client, queue_url, chunk)

    def _note(self, positions: Sequence[int], reason: str) -> None:
        self.unanswered |= dict.fromkeys(positions, reason)

    def _per_queue(self) -> dict[str, list[int]]:
        per_queue: dict[str, list[int]] = defaultdict(list)
        for position, request in enumerate(self._requests):
            per_queue[request["QueueUrl"]].append(position)
        return per_queue

    def _chunks(self, positions: Sequence[int]) -> Iterator[list[int]]:
        chunk: list[int] = []
        size = 0
        for position in positions:
            # Half a surrogate pair is for SQS to refuse, by its position: nothing of the batch may be lost for it.
            weight = len(self._requests[position]["MessageBody"].encode("utf-8", "surrogatepass"))
            if chunk and (len(chunk) == ENTRIES_PER_BATCH or size + weight > BYTES_PER_BATCH):
                yield chunk
                chunk, size = [], 0
            chunk.append(position)
            size += weight
        if chunk:
            yield chunk

    def _send_chunk(self, client: "SQSClient", queue_url: str, positions: list[int]) -> None:
        if self.unanswered:
            self._note(positions, next(iter(self.unanswered.values())))
            return
        entries: list[Any] = [
            {"Id": str(position), **{name: value for name, value in self._requests[position].items() if name != "QueueUrl"}}
            for position in positions
        ]
        try:
            answer = client.send_message_batch(QueueUrl=queue_url, Entries=entries)
        except (ClientError, BotoCoreError, OSError, Unanswered) as error:
            if isinstance(error, Unanswered) or is_transient(error):
                self._note(positions, f"{queue_url}: {error}")
            elif len(positions) == 1:
                self.failures[positions[0]] = str(error)
            else:
                # One bad message refuses the whole request: find it by sending each alone.
                for position in positions:
                    self._send_chunk(client, queue_url, [position])
            return
        for failed in answer.get("Failed", []):
            self.failures[int(failed["Id"])] = f"{failed['Code']}: {failed.get('Message', '')}"
