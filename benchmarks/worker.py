"""A Celery worker as a process: started, watched, stopped."""

import contextlib
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import psutil

from benchmarks.processes import running
from benchmarks.stacks import Stack
from benchmarks.stacks.surroundings import Surroundings

_PATIENCE = timedelta(seconds=15)
_LAST_LINES = 15


class WorkerEnded(RuntimeError):
    """Raised when a worker is gone before it was told to; the message holds the end of its log."""


@dataclass(frozen=True, slots=True)
class Pool:
    """How a worker runs its jobs."""

    kind: str
    concurrency: int

    def __str__(self) -> str:
        return f"{self.kind} {self.concurrency}"


PREFORK = Pool("prefork", 2)
THREADS = Pool("threads", 8)


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
        arguments = ["-m", "celery", "-A", stack.module, "worker", "-P", pool.kind, "-c", str(pool.concurrency), "--loglevel", "WARNING"]
        arguments += ["--without-gossip", "--without-mingle", "--without-heartbeat", "-n", f"{stack.name}@benchmark"]
        with (
            log.open("ab") as out,
            running(arguments, surroundings.environment(), patience=_PATIENCE, stdout=out, stderr=subprocess.STDOUT) as process,
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
        total = 0
        for process in self._processes():
            with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                memory = process.memory_full_info()
                total += getattr(memory, "pss", memory.rss)
        return total / 2**20

    def _processes(self) -> list[psutil.Process]:
        try:
            return [self._seen, *self._seen.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []
