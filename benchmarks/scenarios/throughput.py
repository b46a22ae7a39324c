"""How fast is a backlog worked off, and what does a job cost?

The clock starts when the backlog stands in the queue of a warm, idle worker. It stops when every message is deleted and every
result is stored, or after the plan's window; what is not done by then does not count.
"""

import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from benchmarks.broker import Account
from benchmarks.laboratory import Laboratory
from benchmarks.plan import Plan, WorkerSetting
from benchmarks.reading import Reading
from benchmarks.stacks import Stack
from benchmarks.tally import count_runs, doubles, read_runs
from benchmarks.waiting import came_true

IS_REPEATED = True
MEASURES_AT_ONCE = False
NAME = "throughput"


def settings(plan: Plan) -> Sequence[WorkerSetting]:
    return plan.settings


def concerns(setting: WorkerSetting, stack: Stack) -> bool:
    return stack.can_store_results or not setting.stores_results


def measure(laboratory: Laboratory, plan: Plan, setting: WorkerSetting, stacks: Sequence[Stack]) -> list[Reading]:
    return [_measure(laboratory, plan.window, setting, stack) for stack in stacks]


def _measure(laboratory: Laboratory, window: timedelta, setting: WorkerSetting, stack: Stack) -> Reading:
    broker = laboratory.broker(stack)
    backlog = laboratory.backlog(stack)
    with laboratory.working(stack, setting) as (worker, tally, had):
        jobs = backlog - had
        before, cpu = broker.account(), worker.cpu_seconds()
        began = broker.refill(stack.name, had, backlog)
        is_drained = came_true(lambda: _done(broker.account(), before, stack, tally, had, setting) >= jobs, window)
        elapsed = time.monotonic() - began
        after, cpu, memory = broker.account(), worker.cpu_seconds() - cpu, worker.memory_mib()
        worker.check()
        done = _done(after, before, stack, tally, had, setting)
    # The worker has stopped: nothing runs any more, nothing more is deleted.
    finally_deleted = broker.account().since(before, stack.name, "deleted")
    runs = read_runs(tally, had)
    tasks = max(done, 1)
    return Reading(
        scenario=NAME,
        setting=str(setting),
        stack=stack.name,
        values={
            "tasks/s": done / elapsed,
            "CPU ms/task": 1_000 * cpu / tasks,
            "memory MiB": memory,
            "lost": max(0, finally_deleted - len({run.sequence for run in runs})),
            "double": doubles(runs),
            "drained": float(is_drained),
            "tasks": done,
            "broker's CPU share": (after.cpu_seconds - before.cpu_seconds) / elapsed,
        },
        requests={operation: count / tasks for operation, count in after.requests_since(before).items()},
    )


def _done(now: Account, before: Account, stack: Stack, tally: Path, had: int, setting: WorkerSetting) -> int:
    """Jobs that have run, whose message is deleted and whose result, if it is wanted, is stored."""
    done = min(now.since(before, stack.name, "deleted"), count_runs(tally) - had)
    return min(done, now.results() - before.results()) if setting.stores_results else done
