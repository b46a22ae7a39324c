"""A process that publishes jobs by one stack, and says what that cost it.

``python -m benchmarks.producer module way count first [per_second]`` prints one line of JSON.
"""

import importlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from typing import Any

from benchmarks.processes import running
from benchmarks.stacks import Stack, Way
from benchmarks.stacks.surroundings import Surroundings

_GROUP_SIZE = 100
#: Published before the costs are counted: imports, connections and the client's models are not per message.
WARM_UP = 3
_PATIENCE = timedelta(seconds=5)


class ProducerFailed(RuntimeError):
    """Raised when a producer process ended without its line; its stderr says why."""


@dataclass(frozen=True, slots=True)
class Production:
    """What one producer did."""

    sent: int
    wall_seconds: float
    cpu_seconds: float


def produce(stack: Stack, surroundings: Surroundings, way: Way, count: int, first: int = WARM_UP, per_second: float = 0) -> Production:
    """Publish ``count`` jobs, numbered from ``first``, in a process of their own, and wait for it.

    Before them it publishes ``WARM_UP`` jobs, with the numbers before ``first``, which the costs do not include.
    """
    arguments = ["-m", "benchmarks.producer", stack.module, way, str(count), str(first), str(per_second)]
    with running(arguments, surroundings.environment() | stack.environment(), patience=_PATIENCE, stdout=subprocess.PIPE) as process:
        said, _ = process.communicate()
        if process.returncode:
            raise ProducerFailed(f"The producer of {stack.name} ended with status {process.returncode}; see its stderr above.")
    return Production(**json.loads(said))


def _main(module: str, way: str, count: int, first: int, per_second: float) -> Production:
    from benchmarks.stacks.job import PAYLOAD

    task = importlib.import_module(module).noop
    publish = _WAYS[way](task)

    def jobs(start: int, stop: int) -> Iterable[dict[str, Any]]:
        for sequence in range(start, stop):
            yield {"sequence": sequence, "sent_at": time.time(), "payload": PAYLOAD}

    publish(jobs(first - WARM_UP, first))
    asked = jobs(first, first + count)
    wall, cpu = time.perf_counter(), time.process_time()
    sent = _publish_paced(publish, asked, per_second) if per_second else publish(asked)
    return Production(sent=sent, wall_seconds=time.perf_counter() - wall, cpu_seconds=time.process_time() - cpu)


Publish = Callable[[Iterable[dict[str, Any]]], int]


def _one_by_one(task: Any) -> Publish:
    def publish(jobs: Iterable[dict[str, Any]]) -> int:
        sent = 0
        for job in jobs:
            task.delay(**job)
            sent += 1
        return sent

    return publish


def _in_groups(task: Any) -> Publish:
    from celery import group

    def publish(jobs: Iterable[dict[str, Any]]) -> int:
        sent, remaining = 0, iter(jobs)
        while some := list(islice(remaining, _GROUP_SIZE)):
            group(task.s(**job) for job in some).apply_async()
            sent += len(some)
        return sent

    return publish


def _in_bulk(task: Any) -> Publish:
    from app.engine.broker.bulk import publish_many

    def publish(jobs: Iterable[dict[str, Any]]) -> int:
        sent, remaining = 0, iter(jobs)
        while some := list(islice(remaining, _GROUP_SIZE)):
            publish_many(task, some)
            sent += len(some)
        return sent

    return publish


def _publish_paced(publish: Publish, jobs: Iterable[dict[str, Any]], per_second: float) -> int:
    """At an even pace. A job that is late does not make the next one late."""
    began, sent, remaining = time.perf_counter(), 0, iter(jobs)
    while True:
        time.sleep(max(0.0, began + sent / per_second - time.perf_counter()))
        if not publish(islice(remaining, 1)):
            return sent
        sent += 1


_WAYS: dict[str, Callable[[Any], Publish]] = {Way.DELAY: _one_by_one, Way.GROUP: _in_groups, Way.BULK: _in_bulk}


if __name__ == "__main__":
    _module, _way, _count, _first, _per_second = sys.argv[1:]
    _done = _main(_module, _way, int(_count), int(_first), float(_per_second))
    print(json.dumps({name: getattr(_done, name) for name in Production.__slots__}))
