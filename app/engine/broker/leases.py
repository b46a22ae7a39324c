"""Who holds a message keeps it: the visibility heartbeat.

A received message is invisible for the queue's visibility timeout. That is renewed each third of it for every message
that the worker holds: buffered, running, or finished and not yet deleted. So the timeout can be short (a crash is
noticed soon) and a run long. It ends with the process: a killed worker renews nothing.

    received ──renewed every timeout/3──▶ settled
        ├──── worker died ────────────────────────▶ visible again
        ├──── ran for longer than its hard limit ─▶ visible again, and the run is told
        └──── SQS refused the renewal ────────────▶ somebody else's, and the run is told
"""

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any

from app.engine.broker.lost_leases import LostLeases
from app.engine.broker.received import Received
from app.topology.policies import LONGEST_VISIBILITY

logger = logging.getLogger(__name__)

ENTRIES_PER_BATCH = 10
#: Renewed this many times per visibility timeout: two may fail before the lease is lost.
RENEWALS_PER_TIMEOUT = 3


class Leases:
    """Renews what ``held`` returns whenever :meth:`renew_due` is called.

    ``timeout_of`` knows a queue's visibility timeout by its address; ``is_overdue`` says that a run should have ended long
    ago, so that nothing speaks for it any more; ``on_lost`` gets each message whose lease could not be kept.

    Limit: SQS ends every lease 12 hours after the receive. A frozen process (SIGSTOP, a stalled host) cannot renew; its
    messages are delivered again while its runs may still come back to life.
    """

    def __init__(
        self,
        client: Callable[[], Any],
        *,
        held: Callable[[], Iterable[Received]],
        timeout_of: Callable[[str], timedelta],
        is_overdue: Callable[[Received], bool],
        on_lost: Callable[[Received], object],
        lost: LostLeases,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._held = held
        self._timeout_of = timeout_of
        self._is_overdue = is_overdue
        self._on_lost = on_lost
        self._lost = lost
        self._clock = clock
        self._renewed_at: dict[str, float] = {}
        self._told: set[str] = set()
        self._gone: set[str] = set()
        self._shortest = timedelta(0)

    @property
    def pause_seconds(self) -> float:
        """How long to sleep so that no renewal is late."""
        return self._shortest.total_seconds() / RENEWALS_PER_TIMEOUT / 2 or 1.0

    def renew_due(self) -> None:
        """Renew every lease of which a third has passed."""
        now = self._clock()
        held = list(self._held())
        tags = {received.tag for received in held}
        for forgotten in set(self._renewed_at) - tags:
            del self._renewed_at[forgotten]
        self._told &= tags
        self._gone &= tags
        due: dict[str, list[Received]] = defaultdict(list)
        timeouts = {url: self._timeout_of(url) for url in {received.url for received in held}}
        self._shortest = min(timeouts.values(), default=timedelta(0))
        for received in held:
            timeout = timeouts[received.url]
            if received.tag in self._told and not received.is_lost:
                # SQS has delivered it to us again: nobody else has it.
                self._told.discard(received.tag)
                self._gone.discard(received.tag)
                self._lost.discard(received.tag)
                self._renewed_at[received.tag] = now
            if received.tag in self._gone:
                continue
            age = now - self._renewed_at.setdefault(received.tag, received.received_at)
            if now - received.received_at > (LONGEST_VISIBILITY - 2 * timeout).total_seconds() or self._is_overdue(received):
                if age > timeout.total_seconds():
                    self._gone.add(received.tag)
                    self.lose(received, "held for too long")
            elif age >= timeout.total_seconds() / RENEWALS_PER_TIMEOUT:
                due[received.url].append(received)
        for url, messages in due.items():
            for start in range(0, len(messages), ENTRIES_PER_BATCH):
                self._renew(url, messages[start : start + ENTRIES_PER_BATCH], timeouts[url])

    def _renew(self, url: str, messages: list[Received], timeout: timedelta) -> None:
        seconds = int(timeout.total_seconds())
        entries: list[Any] = [
            {"Id": str(position), "ReceiptHandle": received.handle, "VisibilityTimeout": seconds}
            for position, received in enumerate(messages)
        ]
        asked_at = self._clock()
        try:
            answer = self._client().change_message_visibility_batch(QueueUrl=url, Entries=entries)
        except Exception as error:  # noqa: BLE001 — whatever SQS, the network or the credentials came up with: tried again soon
            logger.warning("leases not renewed, trying again", extra={"messages": len(messages), "reason": str(error)[:500]})
            for received in messages:
                self._try_again(received, timeout)
            return
        failed = {int(entry["Id"]): entry for entry in answer.get("Failed") or ()}
        for position, received in enumerate(messages):
            if position not in failed:
                self._renewed_at[received.tag] = asked_at
            elif failed[position].get("SenderFault", True):
                self._gone.add(received.tag)
                self.lose(received, str(failed[position].get("Code", "refused")))
            else:
                self._try_again(received, timeout)

    def _try_again(self, received: Received, timeout: timedelta) -> None:
        if self._clock() - self._renewed_at[received.tag] > timeout.total_seconds():
            # Renewed on all the same: if nobody was faster, nobody will be.
            self.lose(received, "not renewed for a whole visibility timeout")

    def lose(self, received: Received, reason: str) -> None:
        """Its run is somebody else's by now: it is told, and what is buffered is forgotten."""
        if received.is_lost:
            return
        received.is_lost = True
        self._told.add(received.tag)
        self._lost.add(received.tag)
        logger.warning("lease lost", extra={"queue": received.queue, "task": received.task, "task_id": received.task_id, "reason": reason})
        self._on_lost(received)
