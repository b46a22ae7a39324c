"""The harness's side of the Redis server: start it, fill it, read its books."""

import contextlib
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from benchmarks.broker import Account
from benchmarks.processes import running
from benchmarks.redis_server.wire import Wire

_PATIENCE = timedelta(seconds=5)
_HOST = "127.0.0.1"
#: Where the stack stores results, and nothing else.
_RESULT_DATABASE = 1
#: What kombu has received and not acknowledged.
_UNACKNOWLEDGED = "unacked"
_UNACKNOWLEDGED_BY_AGE = "unacked_index"
_DRIP_EVERY_SECONDS = 0.02


class RedisDidNotStart(RuntimeError):
    """Raised when the process ended before it announced its ports; its stderr says why."""


class Redis:
    """One server for one stack: a kombu list, whose oldest message is its last."""

    def __init__(self, process: "subprocess.Popen[bytes]", port: int, long_way: int) -> None:
        self._process = process
        self._port = port
        self._long_way = long_way
        self._latency = timedelta(0)
        self._wire = Wire(_HOST, port)
        self._results = Wire(_HOST, port)
        self._results.ask("SELECT", _RESULT_DATABASE)
        self._queues: dict[str, Counter[str]] = {}
        self._drips: list[_Drip] = []

    @classmethod
    @contextlib.contextmanager
    def started(cls) -> "Iterator[Redis]":
        with running(["-m", "benchmarks.redis_server"], {}, patience=_PATIENCE, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None  # noqa: S101 — asked for above
            ports = process.stdout.readline().split()
            if not ports:
                raise RedisDidNotStart(f"The Redis server ended with status {process.wait()}; see its stderr above.")
            redis = cls(process, *map(int, ports))
            try:
                yield redis
            finally:
                redis.close()

    def close(self) -> None:
        self._stop_drips()
        self._wire.close()
        self._results.close()

    @property
    def address(self) -> str:
        # Without a latency there is nothing to go round for.
        return f"redis://{_HOST}:{self._long_way if self._latency else self._port}"

    def create_queue(self, name: str) -> str:
        self._queues.setdefault(name, Counter())
        return name

    def create_table(self, name: str, key: str) -> None:
        """Redis has none."""

    def account(self) -> Account:
        statistics, commands, clients, usage = map(
            _fields, self._wire.ask_all([("INFO", part) for part in ("stats", "commandstats", "clients", "cpu")])
        )
        return Account(
            requests=Counter(),
            sent_bytes=int(statistics["total_net_input_bytes"]),
            items={"results": self._results.ask("DBSIZE")},
            cpu_seconds=float(usage["used_cpu_user"]) + float(usage["used_cpu_sys"]),
            queues={name: self._queue(name, commands, clients) for name in self._queues},
        )

    def _queue(self, name: str, commands: dict[str, str], clients: dict[str, str]) -> dict[str, Any]:
        ours = self._queues[name]
        # A worker that stops pushes back what it has in hand, each after an HGET, which nothing else asks.
        sent = ours["refilled"] + _calls(commands, "lpush") - _calls(commands, "hget")
        return {
            "sent": sent,
            "deleted": sent - self._present(name) - ours["purged"],
            "receives": _calls(commands, "brpop"),
            "long polls": int(clients["blocked_clients"]),
        }

    def _present(self, name: str) -> int:
        return int(sum(self._wire.ask_all([("LLEN", name), ("HLEN", _UNACKNOWLEDGED)])))

    def set_latency(self, latency: timedelta) -> None:
        assert self._process.stdin is not None  # noqa: S101 — ``running`` gives it one
        assert self._process.stdout is not None  # noqa: S101 — asked for above
        self._process.stdin.write(f"{latency.total_seconds()}\n".encode())
        self._process.stdin.flush()
        self._process.stdout.readline()
        self._latency = latency

    def clear(self) -> None:
        self._stop_drips()
        for name, ours in self._queues.items():
            ours["purged"] += self._present(name)
            self._wire.ask("DEL", name, _UNACKNOWLEDGED, _UNACKNOWLEDGED_BY_AGE)
        self._results.ask("FLUSHDB")

    def keep(self, queue: str) -> int:
        kept = int(self._wire.ask("LLEN", queue))
        self._wire.ask("RENAME", queue, _kept(queue))
        self._queues[queue]["purged"] += kept
        return kept

    def refill(self, queue: str, start: int, stop: int, per_second: float | None = None) -> float:
        """All at once only into an empty queue."""
        count, slice_ = stop - start, f"{queue}:slice"
        self._wire.ask_all([("COPY", _kept(queue), slice_, "REPLACE"), ("LTRIM", slice_, -stop, -start - 1)])
        if per_second:
            self._drips.append(_Drip(Wire(_HOST, self._port), slice_, queue, per_second))
        else:
            # One stroke, which wakes who waits.
            self._wire.ask("RENAMENX", slice_, queue)
        self._queues[queue]["refilled"] += count
        return time.monotonic()

    def end_polls(self, queue: str) -> None:
        """kombu asks every second anyway, and for one message."""

    def _stop_drips(self) -> None:
        while self._drips:
            self._drips.pop().stop()


class _Drip:
    """Moves messages into a queue at a rate, in a thread."""

    def __init__(self, wire: Wire, source: str, queue: str, per_second: float) -> None:
        self._wire, self._source, self._queue, self._rate = wire, source, queue, per_second
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._is_over.set()
        self._thread.join()
        self._wire.ask("DEL", self._source)
        self._wire.close()

    def _run(self) -> None:
        began, sent = time.monotonic(), 0
        while not self._is_over.wait(_DRIP_EVERY_SECONDS):
            due = int((time.monotonic() - began) * self._rate) + 1
            moved = self._wire.ask_all([("LMOVE", self._source, self._queue, "RIGHT", "LEFT")] * (due - sent))
            if None in moved:
                return
            sent = due


def _kept(queue: str) -> str:
    return f"{queue}:kept"


def _fields(text: str) -> dict[str, str]:
    """Of an answer to INFO."""
    return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)


def _calls(commands: dict[str, str], command: str) -> int:
    said = commands.get(f"cmdstat_{command}", "calls=0")
    return int(said.split(",")[0].removeprefix("calls="))
