"""Does a worker grow? Its memory after a tenth, a half and all of a hundred thousand jobs.

Only of ours: at the hundred jobs a second that tuned stock Celery does on SQS, it would be at it for a quarter of an hour.
"""

import time
from collections.abc import Sequence
from datetime import timedelta

from benchmarks.laboratory import Laboratory
from benchmarks.plan import NO_LATENCY, Plan, WorkerSetting
from benchmarks.reading import Reading
from benchmarks.stacks import MILLRACE, Stack
from benchmarks.tally import count_runs, doubles, read_runs
from benchmarks.waiting import wait_until
from benchmarks.worker import Memory

IS_REPEATED = False
MEASURES_AT_ONCE = False
NAME = "endurance"
#: Whatever grows by a job has settled by the first: caches, pools and arenas are full.
_SHARES = (10, 50, 100)
#: Of a hundred thousand jobs, on a slow machine.
_WITHIN = timedelta(minutes=5)


def settings(plan: Plan) -> Sequence[WorkerSetting]:
    return tuple(WorkerSetting(pool=pool, latency=NO_LATENCY, stores_results=False) for pool in plan.endurance)


def concerns(setting: WorkerSetting, stack: Stack) -> bool:
    return stack is MILLRACE


def measure(laboratory: Laboratory, plan: Plan, setting: WorkerSetting, stacks: Sequence[Stack]) -> list[Reading]:
    return [_measure(laboratory, plan.endurance_jobs, setting, stack) for stack in stacks]


def _measure(laboratory: Laboratory, jobs: int, setting: WorkerSetting, stack: Stack) -> Reading:
    broker = laboratory.broker(stack)
    backlog = laboratory.backlog(stack)
    copies = -(-jobs // backlog)
    memories: dict[int, list[Memory]] = {}
    with laboratory.working(stack, setting) as (worker, tally, had):
        before = broker.account()
        began = time.monotonic()
        for copy in range(copies):
            broker.refill(stack.name, 0, min(backlog, jobs - copy * backlog))
        for share in _SHARES:

            def is_so_far(done: int = jobs * share // 100) -> bool:
                worker.check()
                return count_runs(tally) - had >= done

            wait_until(is_so_far, _WITHIN, f"{stack.name} has run {share} % of {jobs} jobs")
            memories[share] = worker.memories()
        elapsed = time.monotonic() - began
        wait_until(lambda: broker.account().since(before, stack.name, "deleted") >= jobs, _WITHIN, f"{stack.name} has deleted all messages")
    runs = read_runs(tally, had)
    first, last = memories[_SHARES[0]], memories[_SHARES[-1]]
    return Reading(
        scenario=NAME,
        setting=f"{setting}, {jobs:,} jobs",
        stack=stack.name,
        values={
            **{f"MiB at {share} %": _total(memory) for share, memory in memories.items()},
            "growth MiB": _total(last) - _total(first),
            "main RSS growth MiB": last[0].rss_mib - first[0].rss_mib,
            "largest child RSS growth MiB": max(
                (after.rss_mib - before.rss_mib for before, after in zip(first[1:], last[1:], strict=False)), default=0.0
            ),
            "tasks/s": jobs / elapsed,
            "lost": max(0, jobs - len(runs)),
            "double": doubles(runs, copies),
            "tasks": jobs,
        },
    )


def _total(memories: Sequence[Memory]) -> float:
    return sum(memory.mib for memory in memories)
