"""What becomes of messages, told to SQS ten at a time, by threads, until SQS has confirmed it.

finished ──────────▶ delete
not started ───────▶ visible again
will never succeed ▶ sent to the dead letters, then deleted
not due yet ───────▶ sent again with a delay, then deleted
"""

import logging
import threading
import time
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from botocore.exceptions import ClientError

from app.engine.aws.backoff import Backoff
from app.engine.broker.options import LARGEST_MESSAGE_BYTES
from app.engine.broker.received import Received
from app.topology.policies import LONGEST_VISIBILITY

logger = logging.getLogger(__name__)

#: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_DeleteMessageBatch.html
ENTRIES_PER_BATCH = 10
MOST_THREADS = 4
#: Requests of one lane at a time: should all of them hang, a thread is left for the others.
MOST_PER_LANE = MOST_THREADS - 1
#: Messages that were moved, and messages that could not be: what their next delivery means depends on it.
REMEMBERED = 10_000


class _Kind(Enum):
    DELETE = "delete"
    SHOW = "make visible"
    MOVE = "move"


@dataclass(slots=True, eq=False)
class _Order:
    """One thing to tell SQS."""

    kind: _Kind
    received: Received
    since: float
    seconds: int = 0
    """Of a visibility change."""
    entry: dict[str, Any] = field(default_factory=dict)
    """Of a message to send before the delete."""
    is_moved: bool = False
    """Of a delete: the message lives on elsewhere, and with it whatever it refers to."""
    deleted: str = ""
    """The handle whose delete SQS has confirmed."""


_Lane = tuple[_Kind, str]
"""What is told, and the queue that is told it."""


class Settlement:
    """Promise: an order is repeated until SQS confirms it, refuses it for good, or has ended the lease after 12 hours.

    A request that fails holds up none but its own lane: what is told to one queue in one kind of request. Nor does a lane
    whose requests hang, as long as it is the only one. A message that cannot be moved is left alone: it comes again, and the
    redrive policy has the last word.

    ``on_deleted`` gets each message that is gone for good, in a thread that may wait; not one that was moved.

    Limit: orders live in memory; what a killed process had not told SQS yet, comes again when its visibility lapses.
    """

    def __init__(
        self,
        client: Callable[[], Any],
        *,
        linger_seconds: float,
        on_deleted: Callable[[Received], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._linger = linger_seconds
        self._on_deleted = on_deleted
        self._clock = clock
        self._changed = threading.Condition()
        self._lanes: dict[_Lane, deque[_Order]] = defaultdict(deque)
        self._backoffs: dict[_Lane, Backoff] = defaultdict(Backoff)
        self._not_before: dict[_Lane, float] = {}
        self._under_way: set[_Order] = set()
        self._requests: Counter[_Lane] = Counter()
        self._moved: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._left: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._pending: dict[tuple[str, str], _Order] = {}
        self._threads = 0
        self._idle = 0
        self._hurry = False
        self._closed = False

    # -- orders -----------------------------------------------------------------------------------------------------------

    def delete(self, received: Received) -> None:
        """The job is done, or must never be run."""
        self._add(received.url, _Order(_Kind.DELETE, received, self._clock()))

    def give_back(self, messages: Iterable[Received], seconds: int = 0) -> None:
        """Let others have messages at once, or after some seconds."""
        for received in messages:
            self._add(received.url, _Order(_Kind.SHOW, received, self._clock(), seconds=seconds))

    def move(self, received: Received, destination: str, entry: dict[str, Any]) -> None:
        """Send ``entry`` to the queue at the address ``destination``, then delete. At least once.

        A message that is delivered again while its move is pending, or after it, is not sent twice by this process.
        """
        if self._renewed(received):
            return
        with self._changed:
            is_moved = received.identity in self._moved
        if is_moved:
            self._delete_moved(received)
        else:
            self._add(destination, _Order(_Kind.MOVE, received, self._clock(), entry=entry))

    def delete_again(self, received: Received) -> None:
        """SQS delivered a message whose delete, or move, was ordered before: its new handle is the one that deletes."""
        if self._renewed(received):
            return
        with self._changed:
            if received.identity in self._left:
                return
        self.delete(received)

    def leave(self, received: Received, reason: str) -> None:
        """Neither move nor delete it: it comes again when its visibility lapses, and the redrive policy has the last word."""
        logger.error(
            "message cannot be moved",
            extra={"queue": received.queue, "sqs_message_id": received.message_id, "reason": reason[:500]},
        )
        with self._changed:
            _remember(self._left, received)

    def _renewed(self, received: Received) -> bool:
        with self._changed:
            pending = self._pending.get(received.identity)
            if pending is not None:
                pending.received.handle, pending.received.is_lost = received.handle, False
            return pending is not None

    def _delete_moved(self, received: Received) -> None:
        self._add(received.url, _Order(_Kind.DELETE, received, self._clock(), is_moved=True))

    def unconfirmed(self) -> list[Received]:
        """Whose lease has to be renewed until SQS has confirmed what became of them."""
        with self._changed:
            orders = [order for lane in (*self._lanes.values(), self._under_way) for order in lane]
            return [order.received for order in orders if order.kind is not _Kind.SHOW]

    def flush(self, within: float) -> bool:
        """Tell SQS everything now, without waiting for batches to fill. False if something is left."""
        with self._changed:
            self._hurry = True
            self._not_before.clear()
            self._watch()
            self._changed.notify_all()
            done = self._changed.wait_for(lambda: not self._under_way and not any(self._lanes.values()), within)
            self._hurry = False
            return done

    def close(self, within: float) -> bool:
        """Flush, and end the threads. What is ordered later is tried once."""
        done = self.flush(within)
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        return done

    # -- threads ----------------------------------------------------------------------------------------------------------

    def _add(self, address: str, order: _Order) -> None:
        with self._changed:
            lane = self._lanes[order.kind, address]
            lane.append(order)
            if order.kind is not _Kind.SHOW:
                self._pending[order.received.identity] = order
            if len(lane) == 1 or len(lane) >= ENTRIES_PER_BATCH or self._hurry or self._closed:
                # The first order of a batch starts the clock, a full batch waits no longer.
                self._watch()
                # flush() waits for the same condition: one call might wake nobody but it.
                self._changed.notify(MOST_THREADS + 1 if self._hurry else 1)

    def _watch(self) -> None:
        """Have a thread look at the lanes, whatever the others wait for."""
        if self._idle or self._threads == MOST_THREADS or not any(self._lanes.values()):
            return
        try:
            threading.Thread(target=self._run, name="sqs-settle", daemon=True).start()
        except RuntimeError as error:  # no more threads: the next order tries again
            logger.warning("no thread to tell sqs", extra={"reason": str(error)})
        else:
            self._threads += 1

    def _run(self) -> None:
        while (batch := self._next()) is not None:
            lane, orders = batch
            try:
                again = self._tell(*lane, orders)
                reason = "SQS could not carry it out"
            except Exception as error:  # noqa: BLE001 — whatever SQS, the network or the credentials came up with
                again, reason = orders, f"{type(error).__name__}: {error}"[:500]
            if len(again) == len(orders):
                self._failed(*lane, reason)
            else:
                self._backoffs[lane].succeeded()
            again = self._all_but_expired(again)
            outdated = self._ended(orders, again)
            for order in orders:
                if order.deleted and not order.is_moved and order not in outdated:
                    self._report(order.received)
            self._end(lane, orders, again, outdated)

    def _ended(self, orders: list[_Order], again: list[_Order]) -> list[_Order]:
        """Nobody waits for these any more, but for those that are tried again, and those returned: deleted, which SQS confirms
        although it does nothing, by a handle that was no longer the newest."""
        outdated = []
        with self._changed:
            for order in orders:
                if order.deleted and order.deleted != order.received.handle:
                    order.deleted = ""
                    outdated.append(order)
                elif order not in again and self._pending.get(order.received.identity) is order:
                    del self._pending[order.received.identity]
        return outdated

    def _end(self, lane: _Lane, orders: list[_Order], again: list[_Order], outdated: list[_Order]) -> None:
        with self._changed:
            self._under_way.difference_update(orders)
            self._requests[lane] -= 1
            if len(again) == len(orders):
                self._lanes[lane].extendleft(reversed(again))
            else:
                # Behind the others: one that fails every time must not keep them waiting.
                self._lanes[lane].extend([*again, *outdated])
            self._changed.notify_all()

    def _next(self) -> tuple[_Lane, list[_Order]] | None:
        """Wait for a batch that is full or old enough, and take it; ``None`` after :meth:`close`."""
        with self._changed:
            while True:
                now = self._clock()
                waiting = [
                    (self._due(lane, orders), orders[0].since, lane)
                    for lane, orders in self._lanes.items()
                    if orders and self._requests[lane] < MOST_PER_LANE
                ]
                # The oldest first: a lane that is always full must not keep others waiting.
                ready = [(since, lane) for due, since, lane in waiting if due <= now]
                if ready:
                    _, lane = min(ready, key=lambda one: one[0])
                    batch = self._taken(self._lanes[lane])
                    self._under_way.update(batch)
                    self._requests[lane] += 1
                    # This request may hang: somebody else has to look after the rest.
                    self._watch()
                    return lane, batch
                if self._closed:
                    self._threads -= 1
                    return None
                self._idle += 1
                self._changed.wait(max(min(due for due, _, _ in waiting) - now, 0.001) if waiting else None)
                self._idle -= 1

    def _due(self, lane: _Lane, orders: "deque[_Order]") -> float:
        kind, _ = lane
        waits_no_longer = len(orders) >= ENTRIES_PER_BATCH or self._hurry or self._closed or kind is _Kind.SHOW
        return max(0.0 if waits_no_longer else orders[0].since + self._linger, self._not_before.get(lane, 0.0))

    def _taken(self, orders: "deque[_Order]") -> list[_Order]:
        batch: list[_Order] = []
        size = 0
        while orders and len(batch) < ENTRIES_PER_BATCH:
            size += _weight(orders[0].entry)
            if batch and size > LARGEST_MESSAGE_BYTES:
                break
            batch.append(orders.popleft())
        return batch

    def _failed(self, kind: _Kind, address: str, reason: str) -> None:
        backoff = self._backoffs[kind, address]
        if backoff.failed():
            logger.warning(
                "sqs settle failed, trying again",
                extra={"what": kind.value, "queue_url": address, "reason": reason},
            )
        with self._changed:
            self._not_before[kind, address] = self._clock() + backoff.pause_seconds

    def _all_but_expired(self, orders: list[_Order]) -> list[_Order]:
        oldest = self._clock() - LONGEST_VISIBILITY.total_seconds()
        for order in orders:
            if order.since <= oldest and order.kind is _Kind.MOVE:
                self.leave(order.received, "SQS did not take it for 12 hours")
        return [order for order in orders if order.since > oldest]

    # -- requests ---------------------------------------------------------------------------------------------------------

    def _tell(self, kind: _Kind, address: str, orders: list[_Order]) -> list[_Order]:
        """One request. Returns the orders that have to be repeated; raises when SQS did not answer for any."""
        if kind is _Kind.MOVE:
            return self._move(address, orders)
        entries: list[dict[str, Any]] = [
            {"Id": str(position), "ReceiptHandle": order.received.handle} for position, order in enumerate(orders)
        ]
        if kind is _Kind.SHOW:
            for entry, order in zip(entries, orders, strict=True):
                entry["VisibilityTimeout"] = order.seconds
            answer = self._client().change_message_visibility_batch(QueueUrl=address, Entries=entries)
        else:
            answer = self._client().delete_message_batch(QueueUrl=address, Entries=entries)
        refused = self._refused(answer)
        if kind is _Kind.DELETE:
            for position, (entry, order) in enumerate(zip(entries, orders, strict=True)):
                if position not in refused:
                    order.deleted = entry["ReceiptHandle"]
        # Our fault is a handle that SQS no longer knows: the message is somebody else's by now. Its own fault is tried again.
        return [order for position, order in enumerate(orders) if position in refused and not _is_our_fault(refused[position])]

    def _move(self, address: str, orders: list[_Order]) -> list[_Order]:
        entries = [order.entry | {"Id": str(position)} for position, order in enumerate(orders)]
        try:
            answer = self._client().send_message_batch(QueueUrl=address, Entries=entries)
        except ClientError as error:
            if not _is_refusal(error):
                raise
            if len(orders) > 1:
                # One bad message refuses the whole request: find it by sending each alone.
                return self._move_each(address, orders)
            self.leave(orders[0].received, str(error))
            return []
        refused = self._refused(answer)
        again = []
        for position, order in enumerate(orders):
            if position not in refused:
                with self._changed:
                    _remember(self._moved, order.received)
                self._delete_moved(order.received)
            elif _is_our_fault(refused[position]):
                self.leave(order.received, f"{refused[position].get('Code')}: {refused[position].get('Message', '')}")
            else:
                again.append(order)
        return again

    def _move_each(self, address: str, orders: list[_Order]) -> list[_Order]:
        again = []
        for position, order in enumerate(orders):
            try:
                again += self._move(address, [order])
            except Exception:  # noqa: BLE001 — as in _run; the ones before it are sent, and must not be sent again
                return [*again, *orders[position:]]
        return again

    def _report(self, received: Received) -> None:
        try:
            self._on_deleted(received)
        except Exception:
            # SQS has done it: an order that is repeated because somebody could not bear to hear that would be done twice.
            logger.exception("settlement: unexpected error, going on")

    @staticmethod
    def _refused(answer: dict[str, Any]) -> dict[int, dict[str, Any]]:
        return {int(entry["Id"]): entry for entry in answer.get("Failed") or ()}


def _remember(memory: OrderedDict[tuple[str, str], None], received: Received) -> None:
    memory[received.identity] = None
    if len(memory) > REMEMBERED:
        memory.popitem(last=False)


def _is_our_fault(refused: dict[str, Any]) -> bool:
    # A server that does not say is asked again: nothing is lost by that.
    return bool(refused.get("SenderFault", False))


def _weight(entry: dict[str, Any]) -> int:
    return len(entry.get("MessageBody", "").encode("utf-8", "surrogatepass")) + len(ascii(entry.get("MessageAttributes", "")))


def _is_refusal(error: ClientError) -> bool:
    """Whether SQS read the request and found it wrong, as opposed to denied, throttled or broken."""
    return error.response.get("Error", {}).get("Code", "").rpartition(".")[2] in {
        "BatchRequestTooLong",
        "InvalidMessageContents",
        "InvalidParameterValue",
        "InvalidParameterValueException",
        "InvalidAttributeValue",
    }
