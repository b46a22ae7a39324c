"""What does a worker ask of its broker while there is nothing to do? All stacks at once, as none of them needs the machine."""

import time
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import timedelta

from benchmarks.laboratory import Laboratory
from benchmarks.plan import NO_LATENCY, Plan, WorkerSetting
from benchmarks.pool import PREFORK
from benchmarks.reading import Reading
from benchmarks.stacks import Stack

#: A minute of counting polls says the same each time.
IS_REPEATED = False
MEASURES_AT_ONCE = True
NAME = "idle"
_WORKER = WorkerSetting(pool=PREFORK, latency=NO_LATENCY, stores_results=False)
_MINUTE = timedelta(minutes=1)
#: Just after a job is not idleness yet: receivers that a backlog called for are still leaving.
_CALM_SECONDS = 5


def settings(plan: Plan) -> Sequence[str]:
    return () if plan.idle_window is None else (f"{PREFORK}, one queue",)


def concerns(setting: str, stack: Stack) -> bool:
    return True


def measure(laboratory: Laboratory, plan: Plan, setting: str, stacks: Sequence[Stack]) -> list[Reading]:
    window = plan.idle_window or _MINUTE
    for stack in stacks:
        laboratory.backlog(stack)
    with ExitStack() as workers:
        started = {stack.name: workers.enter_context(laboratory.working(stack, _WORKER))[0] for stack in stacks}
        time.sleep(_CALM_SECONDS)
        before = {stack.name: laboratory.broker(stack).account() for stack in stacks}
        cpu = {name: worker.cpu_seconds() for name, worker in started.items()}
        time.sleep(window.total_seconds())
        after = {stack.name: laboratory.broker(stack).account() for stack in stacks}
        return [
            Reading(
                scenario=NAME,
                setting=setting,
                stack=name,
                values={
                    "receives/min": after[name].since(before[name], name, "receives") * (_MINUTE / window),
                    "CPU ms/min": (worker.cpu_seconds() - cpu[name]) * 1_000 * (_MINUTE / window),
                    "memory MiB": worker.memory_mib(),
                },
            )
            for name, worker in started.items()
        ]
