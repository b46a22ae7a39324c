"""A queue, its worker tasks and ECS, second by second.

The model: a task takes 30 to 60 seconds to be placed and pulled and 10 to boot, and is paid from its launch on, a minute at least. A free
slot takes the oldest job at once. A task that is told to stop takes no more jobs and is killed after 120 seconds; what it ran then comes
again when its visibility lapses. A run longer than the trace's ``protected_after`` keeps its task, and for some seconds more, under every policy.
"""

import heapq
import random
from collections import deque
from dataclasses import dataclass, field

from benchmarks.scaling.traces import Job, Trace

STOP_TIMEOUT = 120.0
VISIBILITY = 120.0
PLACED = (30.0, 60.0)
BOOT = 10.0
LEAST_PAID = 60.0
#: Of ``app/engine/workers/protection.py``, which the simulator does not import.
LINGER = 10.0


@dataclass(slots=True, eq=False)
class Task:
    launched_at: float
    ready_at: float
    slots: "list[Slot]" = field(default_factory=list)
    stopped_at: float | None = None

    @property
    def is_told_to_stop(self) -> bool:
        return self.stopped_at is not None


@dataclass(slots=True, eq=False)
class Slot:
    task: Task
    free_at: float
    started_at: float
    job: Job | None = None
    kept_until: float = 0.0
    """By its run before this one."""

    def __lt__(self, other: "Slot") -> bool:
        return self.free_at < other.free_at


@dataclass(slots=True)
class Outcome:
    """What became of one trace under one policy."""

    waits: list[float] = field(default_factory=list)
    unfinished: int = 0
    """Jobs that never ran: no task was there for them at the end."""
    task_seconds: float = 0.0
    kills: int = 0
    """Runs that were lost in the middle, and repeated."""
    lost_seconds: float = 0.0
    most_tasks: int = 0
    history: list[tuple[float, int, int, int]] = field(default_factory=list)
    """Once a minute: moment, visible, in flight, desired."""


class World:
    """What exists, and what AWS does by itself. A policy changes ``desired`` only."""

    def __init__(self, trace: Trace, chance: random.Random) -> None:
        self.now = 0.0
        self.desired = trace.scaling.minimum
        self.outcome = Outcome()
        self._trace = trace
        self._chance = chance
        self._arriving = deque(trace.jobs)
        self._returning: list[tuple[float, int, Job]] = []
        self._waiting: deque[Job] = deque()
        self._slots: list[Slot] = []
        self._ends: list[float] = []
        self._tasks: list[Task] = []
        self._stopping: list[Task] = []
        for _ in range(self.desired):
            self._launch(ready_at=0.0)

    @property
    def visible(self) -> int:
        return len(self._waiting)

    @property
    def in_flight(self) -> int:
        return len(self._ends)

    @property
    def running(self) -> int:
        return sum(task.ready_at <= self.now for task in self._tasks)

    @property
    def is_over(self) -> bool:
        return not (self._arriving or self._returning or self._waiting or self._ends)

    def scale(self, desired: int) -> None:
        """As Auto Scaling does: within the limits."""
        self.desired = min(max(desired, self._trace.scaling.minimum), self._trace.scaling.maximum)

    def second(self) -> None:
        """Let one second pass."""
        end = self.now + 1.0
        self._place()
        while self._arriving and self._arriving[0].at < end:
            self._waiting.append(self._arriving.popleft())
        while self._returning and self._returning[0][0] < end:
            self._waiting.append(heapq.heappop(self._returning)[2])
        self._work(end)
        self._settle(end)
        self.now = end

    def close(self) -> Outcome:
        """Count what is left, and the tasks that still cost."""
        self.outcome.unfinished = len(self._waiting) + len(self._arriving) + len(self._returning)
        for task in self._tasks:
            self._pay(task, self.now)
        return self.outcome

    def _place(self) -> None:
        missing = self.desired - len(self._tasks)
        for _ in range(missing):
            self._launch(ready_at=self.now + self._chance.uniform(*PLACED) + BOOT)
        if missing < 0:
            candidates = [task for task in self._tasks if not self._is_protected(task)]
            for task in self._chance.sample(candidates, min(-missing, len(candidates))):
                self._tasks.remove(task)
                task.stopped_at = self.now
                self._stopping.append(task)
        self.outcome.most_tasks = max(self.outcome.most_tasks, len(self._tasks))

    def _launch(self, *, ready_at: float) -> None:
        task = Task(self.now, ready_at)
        task.slots = [Slot(task, ready_at, ready_at) for _ in range(self._trace.slots)]
        self._tasks.append(task)
        for slot in task.slots:
            heapq.heappush(self._slots, slot)

    def _is_protected(self, task: Task) -> bool:
        limit = self._trace.protected_after
        return any(
            self.now < slot.kept_until or (self.now < slot.free_at + LINGER and min(self.now, slot.free_at) - slot.started_at > limit)
            for slot in task.slots
            if slot.job is not None
        )

    def _work(self, end: float) -> None:
        slots, waiting, ends, waits = self._slots, self._waiting, self._ends, self.outcome.waits
        while waiting and slots and slots[0].free_at < end:
            slot = slots[0]
            if slot.task.is_told_to_stop:
                heapq.heappop(slots)
                continue
            job = waiting.popleft()
            if slot.free_at - slot.started_at > self._trace.protected_after:
                slot.kept_until = slot.free_at + LINGER
            slot.started_at = max(slot.free_at, job.at, self.now)
            slot.free_at = slot.started_at + job.run_seconds
            slot.job = job
            heapq.heapreplace(slots, slot)
            heapq.heappush(ends, slot.free_at)
            waits.append(slot.started_at - job.at)

    def _settle(self, end: float) -> None:
        for task in list(self._stopping):
            assert task.stopped_at is not None  # noqa: S101 — for the type checker
            killed_at = task.stopped_at + STOP_TIMEOUT
            last = max((slot.free_at for slot in task.slots if slot.job is not None), default=task.stopped_at)
            if min(last, killed_at) >= end:
                continue
            self._stopping.remove(task)
            self._pay(task, max(min(last, killed_at), task.stopped_at))
            for slot in task.slots:
                if slot.job is not None and slot.free_at > killed_at:
                    self._lose(slot, slot.job, killed_at)
        while self._ends and self._ends[0] < end:
            heapq.heappop(self._ends)

    def _lose(self, slot: Slot, job: Job, killed_at: float) -> None:
        self.outcome.kills += 1
        self.outcome.lost_seconds += killed_at - slot.started_at
        self.outcome.waits.remove(slot.started_at - job.at)
        returns_at = killed_at + VISIBILITY
        heapq.heappush(self._returning, (returns_at, self.outcome.kills, job))
        # In flight until its visibility lapses, and not until the end that the run would have had.
        self._ends.remove(slot.free_at)
        heapq.heapify(self._ends)
        heapq.heappush(self._ends, returns_at)

    def _pay(self, task: Task, until: float) -> None:
        self.outcome.task_seconds += max(until - task.launched_at, LEAST_PAID)
