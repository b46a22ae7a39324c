"""The one place where stacks meet their brokers: each gets its queue, its table and its backlog here."""

import contextlib
import tempfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from benchmarks.broker import Broker
from benchmarks.fake_aws import FakeAws
from benchmarks.plan import NO_LATENCY, WorkerSetting
from benchmarks.producer import produce
from benchmarks.redis_server import Redis
from benchmarks.stacks import Stack, Way
from benchmarks.stacks.surroundings import Surroundings
from benchmarks.tally import count_runs
from benchmarks.waiting import wait_until
from benchmarks.worker import Worker

_READY_WITHIN = timedelta(seconds=30)
#: Enough that every child has run the job, few enough that stock Celery's first prefetch holds them.
_WARM_UP_PER_SLOT = 2


class Laboratory:
    """The brokers, and a folder for what the stacks write."""

    def __init__(self, folder: Path, backlog_share: float, running: contextlib.ExitStack) -> None:
        self._folder = folder
        self._backlog_share = backlog_share
        self._running = running
        self._brokers: dict[str, Broker] = {}
        self._backlogs: dict[str, int] = {}
        self._tallies = 0

    @classmethod
    @contextlib.contextmanager
    def opened(cls, backlog_share: float) -> "Iterator[Laboratory]":
        with tempfile.TemporaryDirectory(prefix="benchmark-") as folder, contextlib.ExitStack() as running:
            yield cls(Path(folder), backlog_share, running)

    def broker(self, stack: Stack) -> Broker:
        """Started by the first who asks; it ends with the laboratory."""
        if stack.broker not in self._brokers:
            self._brokers[stack.broker] = (
                self._running.enter_context(Redis.started()) if stack.broker == "redis" else self._running.enter_context(FakeAws.started())
            )
        return self._brokers[stack.broker]

    def surroundings(self, stack: Stack, *, concurrency: int = 1, stores_results: bool = False) -> Surroundings:
        """A queue, a table and a fresh tally for that stack; the broker is as far away as it is now."""
        broker = self.broker(stack)
        broker.create_queue(stack.name)
        broker.create_table(stack.ledger, stack.ledger_key)
        self._tallies += 1
        return Surroundings(
            address=broker.address,
            queue=stack.name,
            table=stack.ledger,
            tally=str(self._folder / f"{self._tallies}-{stack.name}.tally"),
            concurrency=concurrency,
            stores_results=stores_results,
        )

    def backlog(self, stack: Stack) -> int:
        """Have the stack itself publish its backlog, once; return how many messages can be put in its queue again and again."""
        if stack.name not in self._backlogs:
            wanted = int(stack.backlog * self._backlog_share)
            broker = self.broker(stack)
            broker.set_latency(NO_LATENCY)
            produce(stack, self.surroundings(stack), Way.DELAY, wanted)
            self._backlogs[stack.name] = broker.keep(stack.name)
        return self._backlogs[stack.name]

    @contextlib.contextmanager
    def working(self, stack: Stack, setting: WorkerSetting) -> "Iterator[tuple[Worker, Path, int]]":
        """A worker that has run a few jobs and waits for more; its tally; how much of the backlog it has had."""
        backlog = self.backlog(stack)
        broker = self.broker(stack)
        broker.set_latency(setting.latency)
        surroundings = self.surroundings(stack, concurrency=setting.pool.concurrency, stores_results=setting.stores_results)
        tally = Path(surroundings.tally)
        log = self._folder / f"{stack.name}.log"
        try:
            with Worker.started(stack, setting.pool, surroundings, log) as worker:
                yield worker, tally, self._warm_up(stack, worker, tally, min(backlog, _WARM_UP_PER_SLOT * setting.pool.concurrency))
        finally:
            broker.clear()
            broker.set_latency(NO_LATENCY)

    def _warm_up(self, stack: Stack, worker: Worker, tally: Path, jobs: int) -> int:
        broker = self.broker(stack)
        self._wait_until_it_polls(stack, worker)
        deleted = broker.account().queue(stack.name, "deleted")
        broker.refill(stack.name, 0, jobs)

        def is_warm() -> bool:
            worker.check()
            return broker.account().queue(stack.name, "deleted") == deleted + jobs and count_runs(tally) == jobs

        wait_until(is_warm, _READY_WITHIN, f"{stack.name} has run its first {jobs} jobs")
        self._wait_until_it_polls(stack, worker)
        # That poll was sent with the jobs of the warm-up in hand, and asks for fewer messages than an idle worker does.
        # kombu would get into a rhythm that it has seldom and for a while: README.md.
        broker.end_polls(stack.name)
        self._wait_until_it_polls(stack, worker)
        return jobs

    def _wait_until_it_polls(self, stack: Stack, worker: Worker) -> None:
        def polls() -> bool:
            worker.check()
            return bool(self.broker(stack).account().queue(stack.name, "long polls"))

        wait_until(polls, _READY_WITHIN, f"{stack.name} polls its queue")
