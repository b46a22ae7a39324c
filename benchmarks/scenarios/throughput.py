"""How fast is a backlog worked off, and what does a job cost?

The clock starts when the backlog stands in the queue of a warm, idle worker. It stops when every message is deleted and every
result is stored, or after the plan's window; what is not done by then does not count.
"""

import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from benchmarks.fake_aws import Account
from benchmarks.laboratory import Laboratory
from benchmarks.plan import Plan, WorkerSetting
from benchmarks.reading import Reading
from benchmarks.stacks import Stack
from benchmarks.tally import count_runs, doubles, read_runs
from benchmarks.waiting import came_true

MEASURES_AT_ONCE = False
NAME = "throughput"


def settings(plan: Plan) -> Sequence[WorkerSetting]:
    return plan.settings


def measure(laboratory: Laboratory, plan: Plan, setting: WorkerSetting, stacks: Sequence[Stack]) -> list[Reading]:
    return [_measure(laboratory, plan.window, setting, stack) for stack in stacks]


def _measure(laboratory: Laboratory, window: timedelta, setting: WorkerSetting, stack: Stack) -> Reading:
    aws = laboratory.aws
    backlog = laboratory.backlog(stack)
    with laboratory.working(stack, setting) as (worker, tally, had):
        jobs = backlog - had
        before, cpu = aws.account(), worker.cpu_seconds()
        began = aws.refill(stack.name, had, backlog)
        is_drained = came_true(lambda: _done(aws.account(), before, stack, tally, had, setting) >= jobs, window)
        elapsed = time.monotonic() - began
        after, cpu, memory = aws.account(), worker.cpu_seconds() - cpu, worker.memory_mib()
        worker.check()
        done = _done(after, before, stack, tally, had, setting)
    # The worker has stopped: nothing runs any more, nothing more is deleted.
    finally_deleted = laboratory.aws.account().since(before, stack.name, "deleted")
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
            "fake's CPU share": (after.cpu_seconds - before.cpu_seconds) / elapsed,
        },
        requests={operation: count / tasks for operation, count in after.requests_since(before).items()},
    )


def _done(now: Account, before: Account, stack: Stack, tally: Path, had: int, setting: WorkerSetting) -> int:
    """Jobs that have run, whose message is deleted and whose result, if it is wanted, is stored."""
    done = min(now.since(before, stack.name, "deleted"), count_runs(tally) - had)
    return min(done, now.results() - before.results()) if setting.stores_results else done
