"""What the harness asks of the fake, beside what AWS can do: neither counted nor delayed."""

import asyncio
import json
import time
from collections import Counter
from typing import Any

from benchmarks.fake_aws.operations import DynamoDb, Sqs
from benchmarks.fake_aws.queue import Queue

#: So often, a slow refill brings what is due.
_REFILL_EVERY_SECONDS = 0.02


class Bench:
    """Books, kept backlogs, and the latency that every answer gets."""

    prefix = "Benchmark"

    def __init__(self, sqs: Sqs, dynamodb: DynamoDb) -> None:
        self.latency_seconds = 0.0
        self.requests: Counter[str] = Counter()
        self.request_bytes: Counter[str] = Counter()
        self._sqs = sqs
        self._dynamodb = dynamodb
        self._loop = asyncio.get_running_loop()
        self._backlogs: dict[str, list[str]] = {}
        self._refills: set[asyncio.Task[None]] = set()

    def Account(self, _request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802 — in one namespace with AWS's operations
        return {
            "requests": self.requests,
            "request_bytes": self.request_bytes,
            "items": {name: len(table) for name, table in self._dynamodb.tables.items()},
            "cpu_seconds": time.process_time(),
            "queues": {
                name: queue.account | {"present": queue.present, "held": queue.held, "long polls": queue.long_polls}
                for name, queue in self._sqs.queues.items()
            },
        }

    def SetLatency(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        self.latency_seconds = request["Seconds"]
        return {}

    def Clear(self, _request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        """Empty every queue and table. Workers stay connected, kept backlogs stay kept."""
        for refill in self._refills:
            refill.cancel()
        for queue in self._sqs.queues.values():
            queue.purge()
        for table in self._dynamodb.tables.values():
            table.clear()
        return {}

    def Keep(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        """Remember the ready messages of a queue, and empty it."""
        queue = self._sqs.queues[request["Queue"]]
        kept = self._backlogs[queue.name] = list(queue.bodies())
        queue.purge()
        return {"Messages": len(kept)}

    def Refill(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        """Send some of the kept backlog again, all at once or at a rate, as new messages with the same bodies."""
        queue = self._sqs.queues[request["Queue"]]
        bodies = self._backlogs[queue.name][request["Start"] : request["Stop"]]
        rate = request.get("PerSecond")
        if rate:
            refill = self._loop.create_task(self._drip(queue, bodies, rate))
            self._refills.add(refill)
            refill.add_done_callback(self._refills.discard)
        else:
            for body in bodies:
                queue.send(body)
        began = time.monotonic()
        queue.wake()
        return {"Messages": len(bodies), "BeganAt": began}

    def EndPolls(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        """Let the time of every long poll of a queue be over."""
        self._sqs.queues[request["Queue"]].end_polls()
        return {}

    async def _drip(self, queue: Queue, bodies: list[str], rate: float) -> None:
        began, sent = self._loop.time(), 0
        while sent < len(bodies):
            due = min(len(bodies), int((self._loop.time() - began) * rate) + 1)
            for body in bodies[sent:due]:
                queue.send(body)
            sent = due
            queue.wake()
            await asyncio.sleep(_REFILL_EVERY_SECONDS)


def encode(answer: Any) -> bytes:
    return json.dumps(answer, separators=(",", ":"), ensure_ascii=False).encode()
