"""How many messages a worker may ask for now, and which of its queues is next. Knows no network and no threads.

How much is taken in advance follows the pace of the worker: as many messages as it settles in ``prefetch_seconds``. A
worker of short jobs asks for ten at a time; one whose jobs take minutes holds none but those that it runs.

Several queues share the room: each polls in its turn, by weight, as long as all have a backlog. A poll that waits at an empty
queue stands in nobody's way; what it brings after all may exceed the room by what it asked for.
"""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from app.engine.aws.backoff import Backoff
from app.engine.broker.received import Received

RECEIVE_BATCH = 10
#: Whatever the pace: what a killed worker holds comes back only when its visibility lapses.
MOST_IN_ADVANCE = 200
#: SQS answers sooner if there is anything: a poll that takes longer waits at an empty queue, and will hardly bring something.
FRUITLESS_SECONDS = 0.25
#: The pace does not change in less: a worker of short jobs asks for it thousands of times a second.
GRAIN_SECONDS = 0.02


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
        if now - self._at < GRAIN_SECONDS:
            return
        # The first terms of exp(-x) in a form that stays positive; exactness buys nothing here.
        self._count /= 1.0 + (now - self._at) / self._memory
        self._at = now


@dataclass(slots=True)
class ConsumedQueue:
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


class Room:
    """Guarded by the intake's lock, as everything in it. ``held()`` is how many messages are in hand."""

    def __init__(self, *, prefetch_seconds: float, held: Callable[[], int], clock: Callable[[], float]) -> None:
        self._prefetch_seconds = prefetch_seconds
        self._held = held
        self._clock = clock
        self.queues: dict[str, ConsumedQueue] = {}
        self.pace = Pace(clock)
        self.window = 0
        """How many messages the worker may have at once; 0 is no limit."""

    def of(self, entry: ConsumedQueue) -> int:
        """How many messages this queue may ask for now; 0 while it is not worth a request."""
        if entry.is_suspended:
            return 0
        window = self.window or MOST_IN_ADVANCE
        capacity = window + min(MOST_IN_ADVANCE, int(self.pace.per_second * self._prefetch_seconds))
        fruitless = self._clock() - FRUITLESS_SECONDS
        expected = entry.asked + sum(other.asked for other in self.queues.values() if other is not entry and other.polled_at > fruitless)
        taken = self._held() + expected
        # A slot must not stay free for the sake of a fuller request.
        worth_it = 1 if taken < window else min(RECEIVE_BATCH, capacity // 2)
        return max(capacity - taken, 0) if capacity - taken >= worth_it else 0

    @property
    def is_ahead(self) -> bool:
        """Whether every slot has work, and as much again as one receive brings is in hand."""
        return self._held() >= (self.window or MOST_IN_ADVANCE) + RECEIVE_BATCH

    @property
    def of_any(self) -> int:
        return max((self.of(entry) for entry in self.queues.values()), default=0)

    def is_turn_of(self, entry: ConsumedQueue) -> bool:
        return not any(other.hungry and other.received < entry.received for other in self.queues.values() if other is not entry)

    def choose(self) -> ConsumedQueue | None:
        """The queue to take from: by weight among those that hold something (smooth weighted round robin)."""
        waiting = [entry for entry in self.queues.values() if entry.buffer]
        if not waiting:
            return None
        chosen = waiting[0]
        if len(waiting) > 1:
            for entry in waiting:
                entry.credit += entry.weight
            chosen = max(waiting, key=lambda entry: entry.credit)
            chosen.credit -= sum(entry.weight for entry in waiting)
        return chosen

    def level(self, entry: ConsumedQueue) -> None:
        """An empty queue saves nothing up: when it has messages again, it is served as if it had always had some."""
        entry.received = max(other.received for other in (entry, *self.queues.values()))
