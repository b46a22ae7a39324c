"""A worker as a process: started, watched, stopped."""

import contextlib
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import psutil

from benchmarks.pool import Pool
from benchmarks.processes import running
from benchmarks.stacks import Stack
from benchmarks.stacks.surroundings import Surroundings

#: A warm stop takes two seconds. Amid many small jobs many of stock Celery's prefork stops take thirty more: Celery has forgotten a job that
#: it had given to a child, and the child waits for somebody to read that it is done. To wait longer here would only make rounds longer.
_PATIENCE = timedelta(seconds=5)
_LAST_LINES = 15
_MIB = 2**20


class WorkerEnded(RuntimeError):
    """Raised when a worker is gone before it was told to; the message holds the end of its log."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Memory:
    """Of one process."""

    rss_mib: float
    mib: float
    """Its share of what it shares, where the kernel tells (Linux); the same as ``rss_mib`` elsewhere."""


class Worker:
    """One running worker and its children."""

    def __init__(self, process: "subprocess.Popen[bytes]", log: Path) -> None:
        self._process = process
        self._log = log
        self._seen = psutil.Process(process.pid)

    @classmethod
    @contextlib.contextmanager
    def started(cls, stack: Stack, pool: Pool, surroundings: Surroundings, log: Path) -> "Iterator[Worker]":
        """Start it and stop it warmly. It is not ready yet."""
        with (
            log.open("ab") as out,
            running(
                stack.command(pool),
                surroundings.environment() | stack.environment(),
                patience=_PATIENCE,
                stdout=out,
                stderr=subprocess.STDOUT,
            ) as process,
        ):
            yield cls(process, log)

    def check(self) -> None:
        if self._process.poll() is not None:
            words = "\n".join(self._log.read_text(errors="replace").splitlines()[-_LAST_LINES:])
            raise WorkerEnded(f"The worker ended with status {self._process.returncode}:\n{words}")

    def cpu_seconds(self) -> float:
        """Of the main process and its children, living and gone; in steps of the kernel's tick, 10 ms a process."""
        total = 0.0
        for process in self._processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                total += times.user + times.system
                if process.pid == self._process.pid:
                    total += times.children_user + times.children_system
        return total

    def memory_mib(self) -> float:
        """Of all its processes; what they share counts once where the kernel tells (Linux)."""
        return sum(memory.mib for memory in self.memories())

    def memories(self) -> "list[Memory]":
        """Of the main process first, then of its children."""
        found = []
        for process in self._processes():
            with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                memory = process.memory_full_info()
                found.append(Memory(rss_mib=memory.rss / _MIB, mib=getattr(memory, "pss", memory.rss) / _MIB))
        return found

    def _processes(self) -> list[psutil.Process]:
        try:
            return [self._seen, *self._seen.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []
