"""The harness's side of the fake: start it, fill it, read its books."""

import contextlib
import http.client
import json
import subprocess
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from benchmarks.broker import Account
from benchmarks.processes import running

_PATIENCE = timedelta(seconds=3)
_SENDS = ("SendMessage", "SendMessageBatch")


class FakeDidNotStart(RuntimeError):
    """Raised when the server ended before it announced its address; its stderr says why."""


class FakeAws:
    """One server process. Not safe for threads."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=60)

    @classmethod
    @contextlib.contextmanager
    def started(cls) -> "Iterator[FakeAws]":
        with running(["-m", "benchmarks.fake_aws"], {}, patience=_PATIENCE, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None  # noqa: S101 — asked for above
            address = process.stdout.readline().decode().strip()
            if not address:
                raise FakeDidNotStart(f"The fake AWS ended with status {process.wait()}; see its stderr above.")
            aws = cls(address)
            try:
                yield aws
            finally:
                aws._connection.close()

    def create_queue(self, name: str) -> str:
        # The longest visibility of the stacks: none of them shall gain by another's.
        return str(self._call("AmazonSQS.CreateQueue", QueueName=name, Attributes={"VisibilityTimeout": "1800"})["QueueUrl"])

    def create_table(self, name: str, key: str) -> None:
        self._call("DynamoDB_20120810.CreateTable", TableName=name, KeySchema=[{"AttributeName": key, "KeyType": "HASH"}])

    def account(self) -> Account:
        books = self._call("Benchmark.Account")
        return Account(
            requests=Counter(books["requests"]),
            sent_bytes=sum(books["request_bytes"].get(operation, 0) for operation in _SENDS),
            items=books["items"],
            cpu_seconds=books["cpu_seconds"],
            queues=books["queues"],
        )

    def set_latency(self, latency: timedelta) -> None:
        self._call("Benchmark.SetLatency", Seconds=latency.total_seconds())

    def clear(self) -> None:
        """Empty every queue and table."""
        self._call("Benchmark.Clear")

    def keep(self, queue: str) -> int:
        """Remember what is in the queue, empty it, and return how many messages it were."""
        return int(self._call("Benchmark.Keep", Queue=queue)["Messages"])

    def refill(self, queue: str, start: int, stop: int, per_second: float | None = None) -> float:
        """Send that slice of the kept messages again and return when that began, by the machine's monotonic clock."""
        return float(self._call("Benchmark.Refill", Queue=queue, Start=start, Stop=stop, PerSecond=per_second)["BeganAt"])

    def end_polls(self, queue: str) -> None:
        """Answer waiting polls with nothing, as if their time were over, so that an idle worker asks anew."""
        self._call("Benchmark.EndPolls", Queue=queue)

    def _call(self, target: str, **request: Any) -> dict[str, Any]:
        self._connection.request("POST", "/", json.dumps(request), {"X-Amz-Target": target})
        response = self._connection.getresponse()
        answer: dict[str, Any] = json.loads(response.read())
        if response.status != http.client.OK:
            raise RuntimeError(f"The fake AWS refused {target}: {answer}")
        return answer
