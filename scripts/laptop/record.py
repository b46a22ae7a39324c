"""What a session has started, in ``var/run.json``, so that whoever comes after a kill can end it.

Limit: a process that was started in the last millisecond before the kill may be missing.
"""

import json
import os
import signal
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Self

import psutil

#: The kernel's boot time, from which start times are computed, moves when the clock is set.
_CLOCK_TOLERANCE_SECONDS = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class ProcessMark:
    """A process, recognisable after its pid has been given to another one."""

    pid: int
    created: float
    """Seconds since the epoch."""

    @classmethod
    def of(cls, pid: int) -> Self:
        """Raises :class:`psutil.NoSuchProcess`."""
        return cls(pid=pid, created=psutil.Process(pid).create_time())

    def is_alive(self) -> bool:
        try:
            return self._is_of(psutil.Process(self.pid)) and psutil.Process(self.pid).status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    def group(self) -> list[psutil.Process]:
        """The living members of the process group that it leads, or led; never those of a stranger with the same pid."""
        with suppress(psutil.NoSuchProcess):
            if not self._is_of(psutil.Process(self.pid)):
                return []
        # Nobody gets a pid that still names a group: without a leader, the group is what ours left behind.
        return [process for process in psutil.process_iter() if _group_of(process) == self.pid and _is_running(process)]

    def _is_of(self, process: psutil.Process) -> bool:
        return abs(process.create_time() - self.created) <= _CLOCK_TOLERANCE_SECONDS


def _group_of(process: psutil.Process) -> int | None:
    try:
        return os.getpgid(process.pid)
    except OSError:
        return None


def _is_running(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@dataclass(kw_only=True, slots=True)
class RunRecord:
    """The processes of one session. Every change is in the file before the method returns."""

    path: Path
    session: ProcessMark
    address: str = ""
    postgres: str = ""
    """The directory of PostgreSQL's cluster; its server is known by working there."""
    groups: dict[str, ProcessMark] = field(default_factory=dict)
    """Leaders of process groups, by name."""

    @classmethod
    def read(cls, path: Path) -> "RunRecord | None":
        """The record of the session that runs, or was killed; ``None`` after one that ended by itself."""
        try:
            stored: dict[str, Any] = json.loads(path.read_text())
            return cls(
                path=path,
                session=ProcessMark(**stored["session"]),
                address=stored["address"],
                postgres=stored["postgres"],
                groups={name: ProcessMark(**mark) for name, mark in stored["groups"].items()},
            )
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None  # none, or not in our words: nothing in it may be taken for a pid

    def write(self) -> None:
        stored = asdict(self)
        del stored["path"]
        draft = self.path.with_suffix(".new")
        draft.write_text(json.dumps(stored, indent=1))
        draft.replace(self.path)

    def add(self, name: str, pid: int) -> None:
        with suppress(psutil.NoSuchProcess):  # it is gone already
            self.groups[name] = ProcessMark.of(pid)
            self.write()

    def remove(self, name: str) -> None:
        if self.groups.pop(name, None):
            self.write()

    def discard(self) -> None:
        self.path.unlink(missing_ok=True)

    def end_everything(self, grace: timedelta) -> None:
        """End what still runs of it, politely for ``grace``, then with SIGKILL."""
        _signal(self._members(), signal.SIGTERM)
        _signal(self._postgres_servers(), signal.SIGINT)  # its fast shutdown
        deadline = time.monotonic() + grace.total_seconds()
        while time.monotonic() < deadline and (self._members() or self._postgres_servers()):
            time.sleep(0.05)
        _signal([*self._members(), *self._postgres_servers()], signal.SIGKILL)

    def _members(self) -> list[psutil.Process]:
        return [process for mark in self.groups.values() for process in mark.group()]

    def _postgres_servers(self) -> list[psutil.Process]:
        if not self.postgres:
            return []
        return [process for process in psutil.process_iter() if _works_in(process, self.postgres)]


def _works_in(process: psutil.Process, cluster: str) -> bool:
    try:
        return process.name() == "postgres" and process.cwd() == cluster
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return False


def _signal(processes: list[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            process.send_signal(number)
