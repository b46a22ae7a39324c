"""One standard SQS queue, in memory."""

import asyncio
import heapq
import itertools
import time
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import md5
from typing import Any

from benchmarks.fake_aws.refusal import Refusal

#: The answer to ReceiveMessage.
Received = dict[str, list[dict[str, Any]]]

_LARGEST_RECEIVE = 10
_LONGEST_POLL_SECONDS = 20
#: A timer of asyncio may come a moment early.
_TIMER_SLACK_SECONDS = 0.002


@dataclass(slots=True)
class Message:
    """One message and its present delivery."""

    id: str
    body: str
    body_md5: str
    attributes: dict[str, Any] | None
    sent_ms: int
    deliveries: int = 0
    expiry: float = 0.0
    """When the present delivery lapses, by the loop's clock."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What one ReceiveMessage asked for."""

    most: int
    visibility_seconds: float


class Queue:
    """Every operation takes logarithmic time at most, whatever the backlog.

    | delayed ── due ──▶ ready ── receive ──▶ held ── delete ──▶ (gone)
    |                      ▲                   │
    |                      └── expires, or visibility 0
    """

    def __init__(self, name: str, loop: asyncio.AbstractEventLoop) -> None:
        self.name = name
        self.account: Counter[str] = Counter()
        self._loop = loop
        self._ready: deque[Message] = deque()
        self._held: dict[str, Message] = {}
        self._expiries: list[tuple[float, str]] = []
        self._delayed: list[tuple[float, int, Message]] = []
        self._pollers: deque[tuple[asyncio.Future[Received], Wanted]] = deque()
        self._sequence = itertools.count(1)

    # -- sending --------------------------------------------------------------------------------------------------

    def send(self, body: str, attributes: dict[str, Any] | None = None, delay_seconds: float = 0) -> Message:
        number = next(self._sequence)
        message = Message(
            id=f"00000000-0000-4000-8000-{number:012x}",
            body=body,
            body_md5=md5(body.encode(), usedforsecurity=False).hexdigest(),
            attributes=attributes,
            sent_ms=int(time.time() * 1000),
        )
        self.account["sent"] += 1
        if delay_seconds > 0:
            heapq.heappush(self._delayed, (self._loop.time() + delay_seconds, number, message))
            self._wake_after(delay_seconds)
        else:
            self._ready.append(message)
        return message

    # -- receiving ------------------------------------------------------------------------------------------------

    def receive(self, wanted: Wanted, wait_seconds: float) -> "Received | asyncio.Future[Received]":
        """Messages at once, or what a long poll will bring: a future, which its owner cancels if the caller hangs up."""
        if not 1 <= wanted.most <= _LARGEST_RECEIVE:
            raise Refusal("com.amazonaws.sqs#InvalidParameterValue", f"MaxNumberOfMessages: expected 1 to 10, got {wanted.most}")
        if not 0 <= wait_seconds <= _LONGEST_POLL_SECONDS:
            raise Refusal("com.amazonaws.sqs#InvalidParameterValue", f"WaitTimeSeconds: expected 0 to 20, got {wait_seconds}")
        self.account["receives"] += 1
        self._bring_back()
        if self._ready or not wait_seconds:
            return self._take(wanted)
        poll: asyncio.Future[Received] = self._loop.create_future()
        self._pollers.append((poll, wanted))
        deadline = self._loop.call_later(wait_seconds, self._give_up, poll)
        poll.add_done_callback(lambda _: deadline.cancel())
        return poll

    def wake(self) -> None:
        """Answer the long polls for which there is something now."""
        self._bring_back()
        while self._ready and self._pollers:
            poll, wanted = self._pollers.popleft()
            if not poll.done():
                poll.set_result(self._take(wanted))

    def end_polls(self) -> None:
        """Answer those that wait with nothing, as if their time were over."""
        while self._pollers:
            self._give_up(self._pollers.popleft()[0])

    def _give_up(self, poll: "asyncio.Future[Received]") -> None:
        if not poll.done():
            self.account["empty receives"] += 1
            poll.set_result({})

    def _take(self, wanted: Wanted) -> Received:
        taken: list[dict[str, Any]] = []
        expiry = self._loop.time() + wanted.visibility_seconds
        while self._ready and len(taken) < wanted.most:
            message = self._ready.popleft()
            message.deliveries += 1
            handle = f"{message.id}/{message.deliveries}"
            self._hold(message, handle, expiry)
            self.account["redelivered" if message.deliveries > 1 else "delivered first"] += 1
            delivery: dict[str, Any] = {
                "MessageId": message.id,
                "ReceiptHandle": handle,
                "MD5OfBody": message.body_md5,
                "Body": message.body,
                "Attributes": {"ApproximateReceiveCount": str(message.deliveries), "SentTimestamp": str(message.sent_ms)},
            }
            if message.attributes:
                delivery["MessageAttributes"] = message.attributes
            taken.append(delivery)
        if taken:
            self._wake_after(wanted.visibility_seconds)
            return {"Messages": taken}
        self.account["empty receives"] += 1
        return {}

    # -- settling -------------------------------------------------------------------------------------------------

    def delete(self, handle: str) -> None:
        """Forget the message if the handle is of its present delivery. Like SQS, say nothing otherwise; the account does."""
        if self._held.pop(handle, None) is None:
            self.account["stale deletes"] += 1
        else:
            self.account["deleted"] += 1

    def change_visibility(self, handle: str, seconds: float) -> None:
        message = self._held.get(handle)
        if message is None:
            raise Refusal("com.amazonaws.sqs#MessageNotInflight", "The message is not in flight.")
        if seconds > 0:
            self._hold(message, handle, self._loop.time() + seconds)
            self._wake_after(seconds)
        else:
            self._give_back(handle)
            self.account["given back"] += 1
            self.wake()

    def purge(self) -> None:
        self.account["purged"] += self.present
        for store in (self._ready, self._held, self._expiries, self._delayed):
            store.clear()

    # -- the state ------------------------------------------------------------------------------------------------

    @property
    def visible(self) -> int:
        self._bring_back()
        return len(self._ready)

    @property
    def held(self) -> int:
        self._bring_back()
        return len(self._held)

    @property
    def delayed(self) -> int:
        self._bring_back()
        return len(self._delayed)

    @property
    def present(self) -> int:
        return len(self._ready) + len(self._held) + len(self._delayed)

    @property
    def long_polls(self) -> int:
        return sum(not poll.done() for poll, _ in self._pollers)

    def bodies(self) -> Iterable[str]:
        """Of the messages that are ready, oldest first."""
        return (message.body for message in self._ready)

    # -- expiry ---------------------------------------------------------------------------------------------------

    def _hold(self, message: Message, handle: str, expiry: float) -> None:
        message.expiry = expiry
        self._held[handle] = message
        heapq.heappush(self._expiries, (expiry, handle))

    def _give_back(self, handle: str) -> None:
        self._ready.append(self._held.pop(handle))

    def _bring_back(self) -> None:
        now = self._loop.time()
        while self._expiries and self._expiries[0][0] <= now:
            expiry, handle = heapq.heappop(self._expiries)
            message = self._held.get(handle)
            # A delivery that was renewed has a later entry, which counts.
            if message is not None and message.expiry == expiry:
                self._give_back(handle)
                self.account["expired"] += 1
        while self._delayed and self._delayed[0][0] <= now:
            self._ready.append(heapq.heappop(self._delayed)[2])

    def _wake_after(self, seconds: float) -> None:
        self._loop.call_later(seconds + _TIMER_SLACK_SECONDS, self.wake)
