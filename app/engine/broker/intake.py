"""Receiving: threads poll, a buffer holds a little work in advance, the worker takes from it when a slot is free.

    SQS ──ten a request──▶ buffer per queue ──by weight, when a slot is free──▶ Celery
             │                   │
             │                   └─ stop, cancel, waited too long ──▶ given back, visible at once
             └─ nothing is asked for while there is no room

How much is asked for: ``room.py``. By whom: ``receivers.py``.
"""

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable
from typing import Any

from app.engine.broker.options import BrokerOptions
from app.engine.broker.received import Received
from app.engine.broker.receivers import Receivers
from app.engine.broker.room import FRUITLESS_SECONDS, ConsumedQueue, Room

logger = logging.getLogger(__name__)

#: What waits in the buffer for longer is given back: the jobs before it turned out to be long.
STALE_PREFETCHES = 5
#: Identities of settled messages that are remembered, so that a late duplicate is not run again.
REMEMBERED = 10_000


class Intake:
    """What a worker has in hand, and the threads that bring it.

    ``client()`` is SQS; ``read`` makes of a raw message what can be delivered, or ``None`` if it dealt with it otherwise;
    ``admit`` returns those of the messages of one receive that are to be run, and dealt with the others;
    ``wake`` says, from any thread, that :meth:`take` has something; ``give_back`` makes messages visible again in so many seconds, ``put_off`` after
    a while and without a receive counted; ``again`` gets a message that this worker has settled before.
    """

    def __init__(
        self,
        options: BrokerOptions,
        client: Callable[[], Any],
        *,
        read: Callable[[Received], Received | None],
        admit: Callable[[list[Received]], list[Received]],
        wake: Callable[[], None],
        give_back: Callable[[Iterable[Received], int], None],
        put_off: Callable[[Iterable[Received]], None],
        again: Callable[[Received], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._options = options
        self._read = read
        self._admit = admit
        self._wake = wake
        self._give_back = give_back
        self._put_off = put_off
        self._again = again
        self._clock = clock
        self._changed = threading.Condition()
        self._outstanding: dict[str, Received] = {}
        self._identities: dict[tuple[str, str], Received] = {}
        self._reading: set[Received] = set()
        self._settled: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._admitting: set[tuple[str, str]] = set()
        self._draining = 0
        self._room = Room(prefetch_seconds=options.prefetch_seconds, held=lambda: len(self._identities), clock=clock)
        self._receivers = Receivers(options, client, room=self._room, changed=self._changed, arrived=self._arrived, clock=clock)

    # -- what the channel does ------------------------------------------------------------------------------------------

    def consume(self, name: str) -> None:
        """Begin to receive from a queue."""
        with self._changed:
            self._receivers.is_stopping = False
            entry = self._room.queues.get(name)
            if entry is None:
                options = self._options.queues[name]
                entry = ConsumedQueue(name=name, url=options.url, weight=options.weight)
                self._room.level(entry)
                self._room.queues[name] = entry
            self._receivers.renew(entry)

    def cancel(self, name: str) -> None:
        """Receive no more from a queue, and give back what is buffered. A poll under way ends by itself."""
        with self._changed:
            entry = self._room.queues.pop(name, None)
            held = self._emptied(entry) if entry else []
            self._changed.notify_all()
        self._give_back(held, self._receivers.overlap_seconds)

    def suspend(self, names: Collection[str]) -> None:
        """Receive nothing from these queues until :meth:`resume`. What is buffered, and what a poll still brings, is put off."""
        with self._changed:
            suspended = [entry for name, entry in self._room.queues.items() if name in names and not entry.is_suspended]
            held = [received for entry in suspended for received in self._emptied(entry)]
            for entry in suspended:
                entry.is_suspended = True
        self._put_off(held)

    def resume(self, names: Collection[str]) -> None:
        with self._changed:
            for name in names:
                if (entry := self._room.queues.get(name)) is not None:
                    entry.is_suspended = False
            self._changed.notify_all()

    def stop(self) -> None:
        """Receive no more at all, and give back everything that no slot has taken."""
        with self._changed:
            self._receivers.is_stopping = True
            held = [received for entry in self._room.queues.values() for received in self._emptied(entry)]
            self._changed.notify_all()
        self._give_back(held, self._receivers.overlap_seconds)

    def join(self, within: float) -> bool:
        """Wait for the polls under way; what they still bring is given back. False if one is still under way."""
        return self._receivers.join(within)

    def resize(self, window: int) -> None:
        """How many messages the worker may have at once; 0 is no limit."""
        with self._changed:
            self._room.window = window
            self._changed.notify_all()

    def take(self) -> Received | None:
        """The next message, by weight among the queues that have one, or ``None``."""
        with self._changed:
            chosen = self._room.choose()
            if chosen is None:
                return None
            received = chosen.buffer.popleft()
            received.taken_at = self._clock()
            self._outstanding[received.tag] = received
            return received

    def wait_for_message(self, within: float) -> bool:
        """For consumers without an event loop: wait until :meth:`take` has something and the worker may have it."""
        with self._changed:
            self._draining += 1
            found = self._changed.wait_for(self._has_work, within)
            self._draining -= 1
            return found

    def _has_work(self) -> bool:
        has_slot = not self._room.window or len(self._outstanding) < self._room.window
        return has_slot and any(entry.buffer for entry in self._room.queues.values())

    def settled(self, tag: str, *, for_good: bool) -> Received | None:
        """The worker is done with a delivery: its slot is free. ``for_good``: the message must never run again."""
        with self._changed:
            received = self._outstanding.pop(tag, None)
            if received is None:
                return None
            self._forget(received)
            if for_good:
                self._remember(received)
            if self._clock() - received.taken_at < self._options.prefetch_seconds:
                # Of longer jobs none is taken in advance, however many end together.
                self._room.pace.note()
            if self._draining:
                self._changed.notify_all()
            else:
                self._receivers.tell_of_room()
            return received

    def reopen(self, received: Received) -> None:
        """Forget that a message was settled for good: its next delivery is to be run."""
        with self._changed:
            self._settled.pop(received.identity, None)

    def outstanding(self, tag: str) -> Received | None:
        return self._outstanding.get(tag)

    @property
    def outstanding_count(self) -> int:
        return len(self._outstanding)

    def in_hand(self) -> list[Received]:
        """Everything received and not settled: being read, buffered or running."""
        with self._changed:
            return [*self._reading, *self._identities.values()]

    # -- housekeeping ---------------------------------------------------------------------------------------------------

    def drop(self, received: Received) -> bool:
        """Forget a buffered message whose lease is lost. False if a slot has taken it already."""
        with self._changed:
            entry = self._room.queues.get(received.queue)
            if entry is None or received not in entry.buffer:
                return False
            entry.buffer.remove(received)
            self._forget(received)
            return True

    def give_back_stale(self) -> int:
        """Give back what has been waiting for much longer than was meant, and return how many."""
        oldest = self._clock() - max(self._options.prefetch_seconds, 1.0) * STALE_PREFETCHES
        stale: list[Received] = []
        with self._changed:
            for entry in self._room.queues.values():
                for received in [one for one in entry.buffer if one.received_at < oldest]:
                    entry.buffer.remove(received)
                    self._forget(received)
                    stale.append(received)
        self._give_back(stale, 0)
        return len(stale)

    def restart_silent(self) -> list[str]:
        """Give a new receiver to each queue that nobody polls although there is room; return their names."""
        return self._receivers.restart_silent()

    # -- what is in hand ------------------------------------------------------------------------------------------------------

    def _emptied(self, entry: ConsumedQueue) -> list[Received]:
        held = list(entry.buffer)
        entry.buffer.clear()
        for received in held:
            self._forget(received)
        return held

    def _forget(self, received: Received) -> None:
        if self._identities.get(received.identity) is received:
            del self._identities[received.identity]

    def _remember(self, received: Received) -> None:
        self._settled[received.identity] = None
        if len(self._settled) > REMEMBERED:
            self._settled.popitem(last=False)

    # -- what a poll has brought, in its thread -------------------------------------------------------------------------------

    def _read_all(self, messages: list[Received]) -> list[Received]:
        # Reading a body from S3 may take longer than the visibility timeout: the lease is renewed meanwhile.
        with self._changed:
            self._reading.update(messages)
        return [readable for readable in map(self._readable, messages) if readable is not None]

    def _arrived(self, entry: ConsumedQueue, messages: list[Received], ended: Callable[[], None]) -> None:
        readable = self._admitted(self._read_all(messages))
        with self._changed:
            self._reading.difference_update(messages)
            waited = self._clock() - entry.polled_at
            ended()
            is_wanted = not self._receivers.is_stopping and self._room.queues.get(entry.name) is entry
            is_suspended = entry.is_suspended
            # While they were read, another receiver may have brought the same ones, and a slot may have run them; or their lease is lost.
            settled = [received for received in readable if received.identity in self._settled]
            fresh = [one for one in readable if not one.is_lost and one.identity not in self._settled and not self._is_known(one)]
            if is_wanted and not is_suspended:
                if not fresh or waited > FRUITLESS_SECONDS:
                    self._room.level(entry)
                entry.received += len(fresh) / entry.weight
                for received in fresh:
                    self._identities[received.identity] = received
                    entry.buffer.append(received)
                if self._draining:
                    self._changed.notify_all()
        for received in settled:
            self._again(received)
        if not is_wanted:
            self._give_back(fresh, self._receivers.overlap_seconds)
        elif is_suspended:
            self._put_off(fresh)
        elif fresh:
            self._tell_worker()

    def _tell_worker(self) -> None:
        try:
            self._wake()
        except Exception:
            # The messages are there, and the worker looks when it settles one. A receiver must not end for that.
            logger.exception("worker not woken")

    def _is_known(self, received: Received) -> bool:
        """Whether this is a message that we hold: it must not run a second time."""
        held = self._identities.get(received.identity)
        if held is None:
            return False
        # Its lease had lapsed, and nobody else was faster: the lease is ours again, under the new handle.
        held.handle, held.is_lost = received.handle, False
        return True

    def _readable(self, received: Received) -> Received | None:
        """What can be run of what came; ``None`` for a message that we hold, have settled, or that ``read`` dealt with."""
        try:
            with self._changed:
                if self._is_known(received):
                    return None
                is_settled = received.identity in self._settled
            if is_settled:
                self._again(received)
                return None
            return self._read(received)
        except Exception:
            # Not deleted: the redrive policy takes it to the dead letters after max_receive_count deliveries.
            logger.exception("message not readable", extra={"queue": received.queue, "sqs_message_id": received.message_id})
            return None

    def _admitted(self, messages: list[Received]) -> list[Received]:
        """Those that are to be run. What another receiver is just having admitted is left to that one."""
        with self._changed:
            messages = [received for received in messages if received.identity not in self._admitting]
            self._admitting.update(received.identity for received in messages)
        try:
            return self._admit(messages)
        finally:
            with self._changed:
                self._admitting.difference_update(received.identity for received in messages)
