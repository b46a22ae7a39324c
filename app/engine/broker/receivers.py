"""The threads that poll SQS, and how many of them each queue has."""

import logging
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

from app.engine.broker.options import BrokerOptions
from app.engine.broker.received import Received
from app.engine.broker.room import FRUITLESS_SECONDS, RECEIVE_BATCH, ConsumedQueue, Room

logger = logging.getLogger(__name__)

#: A queue in full flow is received by this many threads.
RECEIVERS_PER_QUEUE = 4
#: So many messages are settled before a worker that is well ahead looks whether there is room: see :attr:`Room.is_ahead`.
SETTLED_PER_LOOK = 3
#: An additional receiver's poll: it is there for a backlog, not to wait for one.
EXTRA_WAIT_SECONDS = 1
ATTRIBUTES = ("ApproximateReceiveCount", "SentTimestamp", "MessageGroupId")


class Receivers:
    """One receiver a queue, up to three more while a backlog is worked off. None ends because of a failed poll.

    ``changed`` is the intake's lock. ``arrived(entry, messages, ended)`` takes what a poll has brought, in the receiver's thread and without
    the lock; it calls ``ended()`` under the lock, when what the poll was to bring counts no more.
    """

    def __init__(
        self,
        options: BrokerOptions,
        client: Callable[[], Any],
        *,
        room: Room,
        changed: threading.Condition,
        arrived: Callable[[ConsumedQueue, list[Received], Callable[[], None]], None],
        clock: Callable[[], float],
    ) -> None:
        self._options = options
        self._client = client
        self._room = room
        self._changed = changed
        self._arrived = arrived
        self._clock = clock
        self._waiting = 0
        self._extra_polls = 0
        self._unlooked = 0
        """Messages settled since somebody last looked whether there is room."""
        self._threads: set[threading.Thread] = set()
        self.is_stopping = False

    def join(self, within: float) -> bool:
        """Wait for the polls under way; what they still bring is given back. False if one is still under way."""
        end = self._clock() + within
        for thread in list(self._threads):
            thread.join(max(end - self._clock(), 0))
        return not any(thread.is_alive() for thread in self._threads)

    @property
    def overlap_seconds(self) -> int:
        """How long a message had better stay hidden that this worker lets go: the polls of additional receivers are over by then.

        They would get it, one after the other, each a receive that counts, and the redrive policy moves what was received too often.
        """
        return EXTRA_WAIT_SECONDS + 1 if self._extra_polls else 0

    def restart_silent(self) -> list[str]:
        """Give a new receiver to each queue that nobody polls although there is room; return their names."""
        restarted = []
        with self._changed:
            for entry in self._room.queues.values():
                silent = self._clock() - entry.polled_at
                if self.is_stopping or silent < self._options.silent_poll_seconds:
                    continue
                # What the lost poll was to bring does not count: it will not come.
                entry.asked = 0
                if self._room.of(entry) <= 0:
                    continue
                restarted.append(entry.name)
                self.renew(entry)
        return restarted

    def tell_of_room(self) -> None:
        """Under the lock: somebody who waits for room may have it.

        While every slot has work, a receive is worth its request only when several messages are settled: not each one looks.
        """
        if not self._waiting:
            return
        self._unlooked += 1
        if self._unlooked < SETTLED_PER_LOOK and self._room.is_ahead:
            return
        self._unlooked = 0
        if self._room.of_any:
            self._changed.notify_all()

    def renew(self, entry: ConsumedQueue) -> None:
        """Under the lock: one new receiver. Those that are there end after their poll, which counts no more; what it brings is welcome."""
        entry.generation += 1
        entry.asked = entry.extra = 0
        self._start_receiver(entry)

    def _start_receiver(self, entry: ConsumedQueue, *, is_extra: bool = False) -> None:
        entry.polled_at = self._clock()
        thread = threading.Thread(
            target=self._receive, args=(entry, entry.generation, is_extra), name=f"sqs-receive-{entry.name}", daemon=True
        )
        thread.start()
        self._threads.add(thread)
        if is_extra:
            entry.extra += 1

    def _receive(self, entry: ConsumedQueue, generation: int, is_extra: bool) -> None:
        try:
            while (asked := self._await_room(entry, generation, is_extra)) and self._poll(entry, generation, asked, is_extra):
                pass
        finally:
            with self._changed:
                if is_extra and entry.generation == generation:
                    entry.extra -= 1
                self._threads.discard(threading.current_thread())

    def _await_room(self, entry: ConsumedQueue, generation: int, is_extra: bool) -> int:
        """Wait until a receive is worth its request; return how many to ask for, 0 to end this receiver."""
        with self._changed:
            while not self._is_over(entry, generation):
                asked = min(self._room.of(entry), RECEIVE_BATCH) if self._room.is_turn_of(entry) else 0
                if asked:
                    entry.asked += asked
                    entry.polled_at = self._clock()
                    self.tell_of_room()
                    return asked
                self._wait_for_room(entry)
                # Without room there is nothing to poll for: that is not silence.
                entry.polled_at = self._clock()
                if is_extra and not self._room.of(entry):
                    return 0
        return 0

    def _wait_for_room(self, entry: ConsumedQueue) -> None:
        self._waiting += 1
        entry.hungry += 1
        try:
            # Woken by settled() and by the end of a poll; the time-out is there because the pace, and polls, fade without an event.
            self._changed.wait(FRUITLESS_SECONDS)
        finally:
            self._waiting -= 1
            entry.hungry -= 1

    def _is_over(self, entry: ConsumedQueue, generation: int) -> bool:
        return self.is_stopping or self._room.queues.get(entry.name) is not entry or entry.generation != generation

    def _poll(self, entry: ConsumedQueue, generation: int, asked: int, is_extra: bool) -> bool:
        """One receive. True if this receiver should go on."""
        try:
            answer = self._receive_messages(entry, asked, is_extra)
            messages = [
                Received(queue=entry.name, url=entry.url, raw=raw, received_at=self._clock()) for raw in answer.get("Messages") or ()
            ]
        except Exception as error:  # noqa: BLE001 — whatever SQS, the network, the credentials or a proxy came up with
            self._end_poll(entry, generation, asked)
            if is_extra:
                return False
            self._pause(entry, error)
            return True
        if entry.backoff.succeeded():
            logger.info("sqs polls again", extra={"queue": entry.name})
        self._arrived(entry, messages, partial(self._count_poll, entry, generation, asked))
        if is_extra:
            return bool(messages)
        if len(messages) == RECEIVE_BATCH:
            self._call_for_help(entry, generation)
        return True

    def _receive_messages(self, entry: ConsumedQueue, asked: int, is_extra: bool) -> Any:
        with self._changed:
            self._extra_polls += is_extra
        try:
            return self._client().receive_message(
                QueueUrl=entry.url,
                MaxNumberOfMessages=asked,
                WaitTimeSeconds=EXTRA_WAIT_SECONDS if is_extra else self._options.wait_time_seconds,
                MessageSystemAttributeNames=list(ATTRIBUTES),
                MessageAttributeNames=["All"],
            )
        finally:
            with self._changed:
                self._extra_polls -= is_extra

    def _end_poll(self, entry: ConsumedQueue, generation: int, asked: int) -> None:
        with self._changed:
            self._count_poll(entry, generation, asked)

    def _count_poll(self, entry: ConsumedQueue, generation: int, asked: int) -> None:
        if entry.generation == generation:
            entry.asked = max(entry.asked - asked, 0)
            entry.polled_at = self._clock()
        if self._waiting:
            self._changed.notify_all()

    def _pause(self, entry: ConsumedQueue, error: Exception) -> None:
        if entry.backoff.failed():
            logger.warning("sqs poll failed", extra={"queue": entry.name, "reason": f"{type(error).__name__}: {error}"[:500]})
        end = self._clock() + entry.backoff.pause_seconds
        with self._changed:
            while not self.is_stopping and (left := end - self._clock()) > 0:
                self._changed.wait(left)

    def _call_for_help(self, entry: ConsumedQueue, generation: int) -> None:
        with self._changed:
            is_flooded = entry.extra < RECEIVERS_PER_QUEUE - 1 and self._room.of(entry) >= RECEIVE_BATCH
            if is_flooded and not self._is_over(entry, generation):
                try:
                    self._start_receiver(entry, is_extra=True)
                except RuntimeError as error:  # no more threads: one has to do
                    logger.warning("no additional receiver", extra={"queue": entry.name, "reason": str(error)})
