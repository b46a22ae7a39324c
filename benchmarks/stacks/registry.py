"""Which stacks there are, in the order of the tables."""

import shutil
import sys
from dataclasses import dataclass
from enum import StrEnum
from importlib.machinery import PathFinder
from typing import Literal

from benchmarks.pool import Pool
from benchmarks.processes import REPOSITORY

#: ``scripts/benchmark`` installs into it what only stacks of other people need. Nobody else has it on the path.
PACKAGES = REPOSITORY / ".benchmark-packages"


class Way(StrEnum):
    """To publish many jobs."""

    DELAY = "delay"
    """One by one."""
    GROUP = "group"
    """Celery's ``group()`` of 100."""
    BULK = "bulk"
    """Our ``publish_many()`` by the hundred."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Stack:
    """One program under test."""

    name: str
    module: str
    says: str
    """What it is, for a reader of the results."""
    backlog: int
    """Jobs of a throughput run: more than it can do in the window."""
    kind: Literal["celery", "dramatiq"] = "celery"
    broker: Literal["aws", "redis"] = "aws"
    package: str = ""
    """What it imports from ``PACKAGES``."""
    ways: tuple[Way, ...] = (Way.DELAY, Way.GROUP)
    can_store_results: bool = True
    ledger: str = "celery"
    """Its table of results."""
    ledger_key: str = "id"

    def absence(self) -> str:
        """What this machine lacks to run it; empty if nothing."""
        if self.broker == "redis" and not shutil.which("redis-server"):
            return "redis-server not found"
        if self.package and not PathFinder.find_spec(self.package, [str(PACKAGES), *sys.path]):
            return f"{self.package} not installed"
        return ""

    def command(self, pool: Pool) -> list[str]:
        """Of its worker, for ``python``."""
        if self.kind == "dramatiq":
            # It has processes with threads, and no other pool.
            processes, threads = (pool.concurrency, 1) if pool.kind == "prefork" else (1, pool.concurrency)
            return ["-m", "dramatiq", self.module, "--processes", str(processes), "--threads", str(threads)]
        command = ["-m", "celery", "-A", self.module, "worker", "-P", pool.kind, "-c", str(pool.concurrency), "--loglevel", "WARNING"]
        return [*command, "--without-gossip", "--without-mingle", "--without-heartbeat", "-n", f"{self.name}@benchmark"]

    def environment(self) -> dict[str, str]:
        """Beside what ``Surroundings`` says."""
        environment = {"PYTHONPATH": str(PACKAGES)} if self.package else {}
        return environment | ({"dramatiq_queue_prefetch": "10"} if self.kind == "dramatiq" else {})


STOCK_DEFAULT = Stack(
    name="stock-default",
    module="benchmarks.stacks.stock_default",
    says="Celery and kombu's SQS transport, every setting at its default: early acknowledgement, prefetch 4 a slot; results by "
    "Celery's DynamoDB backend.",
    backlog=2_000,
)
STOCK_TUNED = Stack(
    name="stock-tuned",
    module="benchmarks.stacks.stock_tuned",
    says="The same with polling_interval 0, long polls of 20 s, 64 messages in memory, acks_late.",
    backlog=6_000,
)
CELERY_REDIS = Stack(
    name="celery-redis",
    module="benchmarks.stacks.celery_redis",
    says="Celery on a Redis server of its own, nothing written to disk: 64 messages in memory, acks_late; results in Redis.",
    backlog=15_000,
    broker="redis",
    package="redis",
)
DRAMATIQ_SQS = Stack(
    name="dramatiq-sqs",
    module="benchmarks.stacks.dramatiq_sqs",
    says="Dramatiq with dramatiq_sqs: the pool's slots as processes or threads, prefetch 10 a process, no results.",
    backlog=12_000,
    kind="dramatiq",
    package="dramatiq_sqs",
    ways=(Way.DELAY,),
    can_store_results=False,
)
MILLRACE = Stack(
    name="millrace",
    module="benchmarks.stacks.millrace",
    says="The same program with our transport at its defaults, acks_late; jobs claimed and results stored by our ledger.",
    backlog=50_000,
    ways=(Way.DELAY, Way.GROUP, Way.BULK),
    ledger="benchmark-ledger",
)
STACKS = (STOCK_DEFAULT, STOCK_TUNED, CELERY_REDIS, DRAMATIQ_SQS, MILLRACE)
