"""Who holds a message keeps it: the visibility heartbeat, and deletes that have to be repeated.

A received message is invisible for the queue's visibility timeout. A thread renews that for every message that the
worker holds, running or waiting in its memory, each third of the timeout. So the timeout can be short (a crash is
noticed soon) and a run long. It ends with the process: a killed worker renews nothing.

    received ──renewed every timeout/3──▶ settled (deleted or given back)
        └──── worker died, or held for 12 hours ────▶ visible again
"""

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from app.engine.aws import clients
from app.engine.aws.queue_urls import queue_url
from app.engine.conf import EngineSettings
from app.topology.policies import LONGEST_VISIBILITY

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

logger = logging.getLogger(__name__)

ENTRIES_PER_BATCH = 10
#: Renewed this many times per visibility timeout: two may fail before the lease is lost.
RENEWALS_PER_TIMEOUT = 3
#: How often a failed delete is tried again.
DELETE_RETRY_SECONDS = 2.0

Message = tuple[str, str]
"""Queue address and receipt handle."""


class Leases:
    """Renews what ``held`` returns until :meth:`stop`.

    Limit: SQS ends every lease 12 hours after the receive. A frozen process (SIGSTOP, a stalled host) cannot renew; its
    messages are delivered again while its runs may still come back to life.
    """

    def __init__(self, settings: EngineSettings, held: Callable[[], list[Message]], clock: Callable[[], float] = time.monotonic) -> None:
        self._client: Callable[[], SQSClient] = lambda: clients.sqs(settings)
        self._declared = {queue_url(settings, queue.name): queue.visibility_timeout for queue in settings.topology.queues}
        self._timeouts: dict[str, timedelta] = {}
        self._held = held
        self._clock = clock
        self._held_since: dict[str, float] = {}
        self._renewed_at: dict[str, float] = {}
        self._undeleted: dict[Message, float] = {}
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sqs-leases", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End the thread; a last attempt is made to delete what could not be deleted."""
        self._stopped.set()
        self._thread.join(timeout=5)
        self._delete_again()

    def delete_later(self, queue: str, handle: str) -> None:
        """Delete this message of a finished job as soon as SQS answers; keep it invisible until then."""
        self._undeleted[(queue, handle)] = self._clock()

    def is_waiting_to_delete(self, queue: str) -> bool:
        """Whether a delete on this queue has failed and not been repeated yet."""
        return any(address == queue for address, _ in list(self._undeleted))

    def renew_due(self) -> None:
        """Renew every lease of which a third has passed."""
        now = self._clock()
        held = [*self._held(), *self._undeleted]
        handles = {handle for _, handle in held}
        for forgotten in set(self._held_since) - handles:
            self._held_since.pop(forgotten, None)
            self._renewed_at.pop(forgotten, None)
        timeouts = {queue: self._timeout(queue) for queue in {queue for queue, _ in held}}
        due: dict[str, list[str]] = defaultdict(list)
        for queue, handle in held:
            since = self._held_since.setdefault(handle, now)
            timeout = timeouts[queue]
            if now - since > (LONGEST_VISIBILITY - 2 * timeout).total_seconds():
                continue
            if now - self._renewed_at.setdefault(handle, now) >= timeout.total_seconds() / RENEWALS_PER_TIMEOUT:
                due[queue].append(handle)
        for queue, due_handles in due.items():
            for chunk in _chunks(due_handles):
                self._renew(queue, chunk, timeouts[queue])

    def _run(self) -> None:
        pause = 0.0
        while not self._stopped.wait(pause):
            try:
                self._delete_again()
                self.renew_due()
            except Exception:
                logger.exception("leases: unexpected error, going on")
            shortest = min(self._timeouts.values(), default=timedelta(0)).total_seconds()
            pause = min(DELETE_RETRY_SECONDS, shortest / RENEWALS_PER_TIMEOUT / 2) or 1.0

    def _timeout(self, queue: str) -> timedelta:
        """What the deployed queue says, which decides; what the topology says while the queue does not answer."""
        if queue not in self._timeouts:
            try:
                answer = self._client().get_queue_attributes(QueueUrl=queue, AttributeNames=["VisibilityTimeout"])
            except (ClientError, BotoCoreError, OSError):
                return self._declared.get(queue, min(self._declared.values()))
            self._timeouts[queue] = timedelta(seconds=int(answer["Attributes"]["VisibilityTimeout"]))
        return self._timeouts[queue]

    def _renew(self, queue: str, handles: list[str], timeout: timedelta) -> None:
        seconds = int(timeout.total_seconds())
        entries: list[Any] = [
            {"Id": str(position), "ReceiptHandle": handle, "VisibilityTimeout": seconds} for position, handle in enumerate(handles)
        ]
        try:
            answer = self._client().change_message_visibility_batch(QueueUrl=queue, Entries=entries)
        except (ClientError, BotoCoreError, OSError) as error:
            logger.warning("leases not renewed, trying again", extra={"messages": len(handles), "reason": str(error)})
            return
        now = self._clock()
        failed = {int(entry["Id"]): entry["SenderFault"] for entry in answer.get("Failed", [])}
        for position, handle in enumerate(handles):
            # SQS's own fault is tried again at the next turn.
            if failed.get(position, True):
                self._renewed_at[handle] = now
            if failed.get(position, False):
                # Deleted meanwhile, or already delivered to somebody else: idempotent tasks make that harmless.
                logger.info("lease lost", extra={"queue_url": queue})

    def _delete_again(self) -> None:
        per_queue: dict[str, list[str]] = defaultdict(list)
        for (queue, handle), since in list(self._undeleted.items()):
            if self._clock() - since > LONGEST_VISIBILITY.total_seconds():
                self._undeleted.pop((queue, handle))  # SQS has ended the lease; the handle is worth nothing
                continue
            per_queue[queue].append(handle)
        for queue, handles in per_queue.items():
            for chunk in _chunks(handles):
                try:
                    answer = self._client().delete_message_batch(
                        QueueUrl=queue, Entries=[{"Id": str(position), "ReceiptHandle": handle} for position, handle in enumerate(chunk)]
                    )
                except (ClientError, BotoCoreError, OSError):
                    return  # logged when the delete first failed
                # Our fault is a handle that SQS no longer knows; its own fault is tried again.
                again = {int(entry["Id"]) for entry in answer.get("Failed", []) if not entry["SenderFault"]}
                for position, handle in enumerate(chunk):
                    if position not in again:
                        self._undeleted.pop((queue, handle), None)


def _chunks(handles: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(handles), ENTRIES_PER_BATCH):
        yield handles[start : start + ENTRIES_PER_BATCH]
