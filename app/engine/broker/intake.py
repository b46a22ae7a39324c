"""Receiving: threads poll, a buffer holds a little work in advance, the worker takes from it when a slot is free.

    SQS ──ten a request──▶ buffer per queue ──by weight, when a slot is free──▶ Celery
             │                   │
             │                   └─ stop, cancel, waited too long ──▶ given back, visible at once
             └─ nothing is asked for while there is no room

How much is taken in advance follows the pace of the worker: as many messages as it settles in ``prefetch_seconds``. A
worker of short jobs asks for ten at a time; one whose jobs take minutes holds none but those that it runs.

Several queues share the room: each polls in its turn, by weight, as long as all have a backlog. A poll that waits at an empty
queue stands in nobody's way; what it brings after all may exceed the room by what it asked for.
"""

import logging
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import Any

from app.engine.aws.backoff import Backoff
from app.engine.broker.options import BrokerOptions
from app.engine.broker.received import Received

logger = logging.getLogger(__name__)

RECEIVE_BATCH = 10
#: Whatever the pace: what a killed worker holds comes back only when its visibility lapses.
MOST_IN_ADVANCE = 200
#: A queue in full flow is received by this many threads.
RECEIVERS_PER_QUEUE = 4
#: An additional receiver's poll: it is there for a backlog, not to wait for one.
EXTRA_WAIT_SECONDS = 1
#: SQS answers sooner if there is anything: a poll that takes longer waits at an empty queue, and will hardly bring something.
FRUITLESS_SECONDS = 0.25
#: What waits in the buffer for longer is given back: the jobs before it turned out to be long.
STALE_PREFETCHES = 5
#: Identities of settled messages that are remembered, so that a late duplicate is not run again.
REMEMBERED = 10_000
ATTRIBUTES = ("ApproximateReceiveCount", "SentTimestamp", "MessageGroupId")


class Pace:
    """Events per second over the last few seconds, as an exponentially decaying count."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, memory_seconds: float = 2.0) -> None:
        self._clock = clock
        self._memory = memory_seconds
        self._count = 0.0
        self._at = clock()

    def note(self) -> None:
        self._decay()
        self._count += 1.0

    @property
    def per_second(self) -> float:
        self._decay()
        return self._count / self._memory

    def _decay(self) -> None:
        now = self._clock()
        # The first terms of exp(-x) in a form that stays positive; exactness buys nothing here.
        self._count /= 1.0 + (now - self._at) / self._memory
        self._at = now


@dataclass(slots=True)
class _Queue:
    """What is known of one consumed queue. Guarded by the intake's lock."""

    name: str
    url: str
    weight: int
    buffer: deque[Received] = field(default_factory=deque)
    asked: int = 0
    """Messages that polls under way may bring."""
    extra: int = 0
    """Additional receivers."""
    generation: int = 0
    """Of its receivers; those of an earlier one end."""
    credit: int = 0
    """Of the weighted round robin."""
    hungry: int = 0
    """Receivers that wait for room."""
    is_suspended: bool = False
    """Whether there is to be no room for the time being."""
    received: float = 0.0
    """Messages so far, divided by the weight: who has the least polls next."""
    polled_at: float = 0.0
    backoff: Backoff = field(default_factory=Backoff)


class Intake:
    """Threads: one receiver a queue, up to three more while a backlog is worked off.

    ``client()`` is SQS; ``read`` makes of a raw message what can be delivered, or ``None`` if it dealt with it otherwise;
    ``admit`` returns those of the messages of one receive that are to be run, and dealt with the others;
    ``wake`` says, from any thread, that :meth:`take` has something; ``give_back`` makes messages visible again, ``put_off`` after
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
        give_back: Callable[[Iterable[Received]], None],
        put_off: Callable[[Iterable[Received]], None],
        again: Callable[[Received], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._options = options
        self._client = client
        self._read = read
        self._admit = admit
        self._wake = wake
        self._give_back = give_back
        self._put_off = put_off
        self._again = again
        self._clock = clock
        self._changed = threading.Condition()
        self._queues: dict[str, _Queue] = {}
        self._outstanding: dict[str, Received] = {}
        self._identities: dict[tuple[str, str], Received] = {}
        self._reading: set[Received] = set()
        self._settled: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._admitting: set[tuple[str, str]] = set()
        self._pace = Pace(clock)
        self._window = 0
        self._waiting = 0
        self._draining = 0
        self._stopping = False
        self._threads: set[threading.Thread] = set()

    # -- what the channel does ------------------------------------------------------------------------------------------

    def consume(self, name: str) -> None:
        """Begin to receive from a queue."""
        with self._changed:
            self._stopping = False
            entry = self._queues.get(name)
            if entry is None:
                options = self._options.queues[name]
                entry = _Queue(name=name, url=options.url, weight=options.weight)
                self._level(entry)
                self._queues[name] = entry
            self._renew(entry)

    def cancel(self, name: str) -> None:
        """Receive no more from a queue, and give back what is buffered. A poll under way ends by itself."""
        with self._changed:
            entry = self._queues.pop(name, None)
            held = self._emptied(entry) if entry else []
            self._changed.notify_all()
        self._give_back(held)

    def suspend(self, names: Collection[str]) -> None:
        """Receive nothing from these queues until :meth:`resume`. What is buffered, and what a poll still brings, is put off."""
        with self._changed:
            suspended = [entry for name, entry in self._queues.items() if name in names and not entry.is_suspended]
            held = [received for entry in suspended for received in self._emptied(entry)]
            for entry in suspended:
                entry.is_suspended = True
        self._put_off(held)

    def resume(self, names: Collection[str]) -> None:
        with self._changed:
            for name in names:
                if (entry := self._queues.get(name)) is not None:
                    entry.is_suspended = False
            self._changed.notify_all()

    def stop(self) -> None:
        """Receive no more at all, and give back everything that no slot has taken."""
        with self._changed:
            self._stopping = True
            held = [received for entry in self._queues.values() for received in self._emptied(entry)]
            self._changed.notify_all()
        self._give_back(held)

    def join(self, within: float) -> bool:
        """Wait for the polls under way; what they still bring is given back. False if one is still under way."""
        end = self._clock() + within
        for thread in list(self._threads):
            thread.join(max(end - self._clock(), 0))
        return not any(thread.is_alive() for thread in self._threads)

    def resize(self, window: int) -> None:
        """How many messages the worker may have at once; 0 is no limit."""
        with self._changed:
            self._window = window
            self._changed.notify_all()

    def take(self) -> Received | None:
        """The next message, by weight among the queues that have one (smooth weighted round robin), or ``None``."""
        with self._changed:
            waiting = [entry for entry in self._queues.values() if entry.buffer]
            if not waiting:
                return None
            chosen = waiting[0]
            if len(waiting) > 1:
                for entry in waiting:
                    entry.credit += entry.weight
                chosen = max(waiting, key=lambda entry: entry.credit)
                chosen.credit -= sum(entry.weight for entry in waiting)
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
        has_slot = not self._window or len(self._outstanding) < self._window
        return has_slot and any(entry.buffer for entry in self._queues.values())

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
                self._pace.note()
            if self._draining or (self._waiting and self._room_of_any()):
                self._changed.notify_all()
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
            entry = self._queues.get(received.queue)
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
            for entry in self._queues.values():
                for received in [one for one in entry.buffer if one.received_at < oldest]:
                    entry.buffer.remove(received)
                    self._forget(received)
                    stale.append(received)
        self._give_back(stale)
        return len(stale)

    def restart_silent(self) -> list[str]:
        """Give a new receiver to each queue that nobody polls although there is room; return their names."""
        restarted = []
        with self._changed:
            for entry in self._queues.values():
                silent = self._clock() - entry.polled_at
                if self._stopping or silent < self._options.silent_poll_seconds:
                    continue
                # What the lost poll was to bring does not count: it will not come.
                entry.asked = 0
                if self._room(entry) <= 0:
                    continue
                restarted.append(entry.name)
                self._renew(entry)
        return restarted

    # -- room -------------------------------------------------------------------------------------------------------------

    def _room(self, entry: _Queue) -> int:
        """How many messages this queue may ask for now; 0 while it is not worth a request."""
        if entry.is_suspended:
            return 0
        window = self._window or MOST_IN_ADVANCE
        capacity = window + min(MOST_IN_ADVANCE, int(self._pace.per_second * self._options.prefetch_seconds))
        fruitless = self._clock() - FRUITLESS_SECONDS
        expected = entry.asked + sum(other.asked for other in self._queues.values() if other is not entry and other.polled_at > fruitless)
        taken = len(self._identities) + expected
        # A slot must not stay free for the sake of a fuller request.
        worth_it = 1 if taken < window else min(RECEIVE_BATCH, capacity // 2)
        return max(capacity - taken, 0) if capacity - taken >= worth_it else 0

    def _room_of_any(self) -> int:
        return max((self._room(entry) for entry in self._queues.values()), default=0)

    def _is_turn_of(self, entry: _Queue) -> bool:
        return not any(other.hungry and other.received < entry.received for other in self._queues.values() if other is not entry)

    def _emptied(self, entry: _Queue) -> list[Received]:
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

    # -- receivers --------------------------------------------------------------------------------------------------------

    def _renew(self, entry: _Queue) -> None:
        """One new receiver. Those that are there end after their poll, which counts no more; what it brings is welcome."""
        entry.generation += 1
        entry.asked = entry.extra = 0
        self._start_receiver(entry)

    def _start_receiver(self, entry: _Queue, *, is_extra: bool = False) -> None:
        entry.polled_at = self._clock()
        thread = threading.Thread(
            target=self._receive, args=(entry, entry.generation, is_extra), name=f"sqs-receive-{entry.name}", daemon=True
        )
        thread.start()
        self._threads.add(thread)
        if is_extra:
            entry.extra += 1

    def _receive(self, entry: _Queue, generation: int, is_extra: bool) -> None:
        try:
            while (asked := self._await_room(entry, generation, is_extra)) and self._poll(entry, generation, asked, is_extra):
                pass
        finally:
            with self._changed:
                if is_extra and entry.generation == generation:
                    entry.extra -= 1
                self._threads.discard(threading.current_thread())

    def _await_room(self, entry: _Queue, generation: int, is_extra: bool) -> int:
        """Wait until a receive is worth its request; return how many to ask for, 0 to end this receiver."""
        with self._changed:
            while not self._is_over(entry, generation):
                asked = min(self._room(entry), RECEIVE_BATCH) if self._is_turn_of(entry) else 0
                if asked:
                    entry.asked += asked
                    entry.polled_at = self._clock()
                    if self._waiting and self._room_of_any():
                        self._changed.notify_all()
                    return asked
                self._wait_for_room(entry)
                # Without room there is nothing to poll for: that is not silence.
                entry.polled_at = self._clock()
                if is_extra and not self._room(entry):
                    return 0
        return 0

    def _wait_for_room(self, entry: _Queue) -> None:
        self._waiting += 1
        entry.hungry += 1
        try:
            # Woken by settled() and by the end of a poll; the time-out is there because the pace, and polls, fade without an event.
            self._changed.wait(FRUITLESS_SECONDS)
        finally:
            self._waiting -= 1
            entry.hungry -= 1

    def _is_over(self, entry: _Queue, generation: int) -> bool:
        return self._stopping or self._queues.get(entry.name) is not entry or entry.generation != generation

    def _poll(self, entry: _Queue, generation: int, asked: int, is_extra: bool) -> bool:
        """One receive. True if this receiver should go on."""
        try:
            answer = self._client().receive_message(
                QueueUrl=entry.url,
                MaxNumberOfMessages=asked,
                WaitTimeSeconds=EXTRA_WAIT_SECONDS if is_extra else self._options.wait_time_seconds,
                MessageSystemAttributeNames=list(ATTRIBUTES),
                MessageAttributeNames=["All"],
            )
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
        self._arrived(entry, generation, asked, messages, self._admitted(self._read_all(messages)))
        if is_extra:
            return bool(messages)
        if len(messages) == RECEIVE_BATCH:
            self._call_for_help(entry, generation)
        return True

    def _end_poll(self, entry: _Queue, generation: int, asked: int) -> None:
        with self._changed:
            self._count_poll(entry, generation, asked)

    def _count_poll(self, entry: _Queue, generation: int, asked: int) -> None:
        if entry.generation == generation:
            entry.asked = max(entry.asked - asked, 0)
            entry.polled_at = self._clock()
        if self._waiting:
            self._changed.notify_all()

    def _pause(self, entry: _Queue, error: Exception) -> None:
        if entry.backoff.failed():
            logger.warning("sqs poll failed", extra={"queue": entry.name, "reason": f"{type(error).__name__}: {error}"[:500]})
        end = self._clock() + entry.backoff.pause_seconds
        with self._changed:
            while not self._stopping and (left := end - self._clock()) > 0:
                self._changed.wait(left)

    def _read_all(self, messages: list[Received]) -> list[Received]:
        # Reading a body from S3 may take longer than the visibility timeout: the lease is renewed meanwhile.
        with self._changed:
            self._reading.update(messages)
        return [readable for readable in map(self._readable, messages) if readable is not None]

    def _arrived(self, entry: _Queue, generation: int, asked: int, messages: list[Received], readable: list[Received]) -> None:
        with self._changed:
            self._reading.difference_update(messages)
            waited = self._clock() - entry.polled_at
            self._count_poll(entry, generation, asked)
            is_wanted = not self._stopping and self._queues.get(entry.name) is entry
            is_suspended = entry.is_suspended
            # While they were read, another receiver may have brought the same ones, and a slot may have run them; or their lease is lost.
            settled = [received for received in readable if received.identity in self._settled]
            fresh = [one for one in readable if not one.is_lost and one.identity not in self._settled and not self._is_known(one)]
            if is_wanted and not is_suspended:
                if not fresh or waited > FRUITLESS_SECONDS:
                    self._level(entry)
                entry.received += len(fresh) / entry.weight
                for received in fresh:
                    self._identities[received.identity] = received
                    entry.buffer.append(received)
                if self._draining:
                    self._changed.notify_all()
        for received in settled:
            self._again(received)
        if not is_wanted:
            self._give_back(fresh)
        elif is_suspended:
            self._put_off(fresh)
        elif fresh:
            self._tell_worker()

    def _level(self, entry: _Queue) -> None:
        """An empty queue saves nothing up: when it has messages again, it is served as if it had always had some."""
        entry.received = max(other.received for other in (entry, *self._queues.values()))

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

    def _call_for_help(self, entry: _Queue, generation: int) -> None:
        with self._changed:
            is_flooded = entry.extra < RECEIVERS_PER_QUEUE - 1 and self._room(entry) >= RECEIVE_BATCH
            if is_flooded and not self._is_over(entry, generation):
                try:
                    self._start_receiver(entry, is_extra=True)
                except RuntimeError as error:  # no more threads: one has to do
                    logger.warning("no additional receiver", extra={"queue": entry.name, "reason": str(error)})
