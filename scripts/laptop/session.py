"""One run of the platform in one clone: the lock on ``var/``, the processes, and their end.

- What it does: starts processes in groups of their own, notices when one ends, and leaves none behind: not after Ctrl-C at any
  moment, not after its own death by SIGKILL.
- Its limit: a process that leaves its group and its session is lost to it.
- How to use it: ``with Session(var, terminal) as session: session.start(…); session.wait_until(…)``.
- What it stores: ``var/lock``, ``var/run.json``, ``var/log/<name>.log`` and, of the run before, ``<name>.previous.log``.
- What it emits: nothing.
"""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from types import FrameType, TracebackType
from typing import IO, Self

import psutil

from scripts.laptop.guardian import Guardian
from scripts.laptop.last_words import last_words
from scripts.laptop.record import ProcessMark, RunRecord
from scripts.laptop.terminal import Terminal

LOOK_EVERY = timedelta(milliseconds=50)
_SERVERS_GRACE = timedelta(seconds=0.5)
_LEFTOVERS_GRACE = timedelta(seconds=3)


class SessionFailed(RuntimeError):
    """Raised when the platform cannot be run, or not any longer. The message is for the person at the terminal."""


class Interrupted(Exception):
    """Raised in the main thread, between two looks, after Ctrl-C, SIGTERM or a hang-up."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.exit_status = 128 + number


class Child:
    """One process, the leader of its own group, whose output goes to a file."""

    def __init__(self, name: str, process: "subprocess.Popen[bytes]", log: Path, *, is_server: bool) -> None:
        self.name = name
        self.log = log
        self.is_server = is_server
        """Others need it until their own end, as workers need AWS: it is ended last."""
        self._process = process

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_status(self) -> int | None:
        """``None`` while it runs; negative: the signal that ended it."""
        return self._process.poll()

    def tail(self) -> str:
        """Its last words, indented."""
        return last_words(self.log)

    def how_it_ended(self) -> str:
        return describe_end(self.exit_status)

    def give(self, text: str) -> None:
        """Write to its standard input and close it."""
        if self._process.stdin is None:
            raise RuntimeError(f"Start {self.name} with has_input=True to give it something.")
        with suppress(BrokenPipeError), self._process.stdin as stdin:
            stdin.write(text.encode())

    def end(self) -> None:
        """Ask the leader to end, as ECS does; what it started is the leader's business until :meth:`kill`."""
        if self.exit_status is None:
            self._process.terminate()

    def kill(self) -> None:
        """End whatever is left of the group."""
        with suppress(ProcessLookupError, PermissionError):  # macOS denies signals to a group of zombies
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()


def describe_end(exit_status: int | None) -> str:
    """How a process ended, in words that follow its name."""
    if exit_status is None:
        return "is running"
    return f"ended with exit code {exit_status}" if exit_status >= 0 else f"was ended by {signal.Signals(-exit_status).name}"


class Session:
    """Everything that runs, from ``__enter__`` to ``__exit__``. For the main thread, before any other is started."""

    def __init__(self, var: Path, terminal: Terminal) -> None:
        self.var = var
        self.terminal = terminal
        self.log_directory = var / "log"
        self.record = RunRecord(path=var / "run.json", session=ProcessMark.of(os.getpid()))
        self.before_servers_end: list[Callable[[], None]] = []
        """Called between the end of the services and that of the servers."""
        self.watchers: list[Callable[[], None]] = []
        """Called at every look."""
        self.services_grace = timedelta(seconds=2.5)
        """From SIGTERM to SIGKILL; more would leave PostgreSQL too little of the five seconds within which everything ends."""
        self._children: dict[str, Child] = {}
        self._guardian = Guardian(self.record.path)
        self._lock: IO[bytes] | None = None
        self._received: int | None = None
        self._rotated: set[str] = set()

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # nohup wins
                signal.signal(number, self._note)
        self.var.mkdir(parents=True, exist_ok=True)
        self._take_lock()
        leftovers = RunRecord.read(self.record.path)
        if leftovers is not None:
            self.terminal.progress("ending what a killed session left behind")
            leftovers.end_everything(_LEFTOVERS_GRACE)
        self.record.write()
        self._guardian.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            self._end_all()
        finally:
            self.record.discard()
            self._guardian.stop()
            if self._lock is not None:
                self._lock.close()

    def start_afresh(self) -> None:
        """Remove everything in ``var/`` but the lock and the record that make this safe."""
        for entry in self.var.iterdir():
            if entry.name in ("lock", self.record.path.name):
                continue
            try:
                shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
            except PermissionError as refused:
                raise SessionFailed(
                    f"{refused.filename} cannot be removed: it was made by another user, perhaps by root. Remove {self.var} as that user."
                ) from refused

    def start(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        cwd: Path,
        *,
        is_server: bool = False,
        has_input: bool = False,
    ) -> Child:
        """Start a process; a name may be used again after its process has ended."""
        self.log_directory.mkdir(exist_ok=True)
        log = self.log_directory / f"{name}.log"
        if name not in self._rotated:
            self._rotated.add(name)
            if log.exists():
                log.replace(self.log_directory / f"{name}.previous.log")
        with log.open("ab") as output:
            try:
                process = subprocess.Popen(
                    command,
                    env=dict(environment),
                    cwd=cwd,
                    stdin=subprocess.PIPE if has_input else subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,  # the terminal's Ctrl-C is for us, who then end it in its turn
                )
            except OSError as error:
                raise SessionFailed(f"{name} does not start: {error}. Remove .venv and run scripts/run again.") from error
        child = Child(name, process, log, is_server=is_server)
        self._children[name] = child
        self.record.add(name, process.pid)
        return child

    def forget(self, child: Child) -> None:
        """Take leave of a child that has ended, and end what it left of its group."""
        child.kill()
        if self._children.get(child.name) is child:
            del self._children[child.name]
            self.record.remove(child.name)

    def look(self) -> None:
        """Let the watchers look. Raises :class:`Interrupted` after a signal, and what they raise."""
        if self._received is not None:
            raise Interrupted(self._received)
        for watcher in self.watchers:
            watcher()

    def wait_until(self, is_true: Callable[[], bool], what: Callable[[], str], within: timedelta | None = None) -> None:
        """Look until the claim holds, saying what is awaited. Raises :class:`SessionFailed` when the time is up."""
        deadline = None if within is None else time.monotonic() + within.total_seconds()
        while True:
            self.look()
            if is_true():
                return
            if deadline is not None and within is not None and time.monotonic() > deadline:
                raise SessionFailed(f"Gave up after {within.total_seconds():.0f} s: {what()}.")
            self.terminal.progress(what())
            time.sleep(LOOK_EVERY.total_seconds())

    def _note(self, number: int, _frame: FrameType | None) -> None:
        # Only a note: an exception from here could strike between a start and its record. The first one counts.
        if self._received is None:
            self._received = number

    def _take_lock(self) -> None:
        self._lock = (self.var / "lock").open("wb")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as taken:
            self._lock.close()
            raise SessionFailed(_describe_other(RunRecord.read(self.record.path))) from taken

    def _end_all(self) -> None:
        services = [child for child in self._children.values() if not child.is_server]
        servers = [child for child in self._children.values() if child.is_server]
        if self._children:
            self.terminal.progress(f"stopping {len(self._children)} processes")
        try:
            _end(services, self.services_grace)
            for server in servers:
                server.end()
            for callback in self.before_servers_end:
                callback()
        finally:
            _end(servers, _SERVERS_GRACE)
            self._sweep()
            self.terminal.quiet()

    def _sweep(self) -> None:
        for process in psutil.Process().children(recursive=True):
            if process.pid != self._guardian.pid:
                with suppress(psutil.NoSuchProcess):
                    process.kill()


def run_session(var: Path, terminal: Terminal, work: Callable[[Session], int], *, program: str = "scripts/run") -> int:
    """Do the work in a session and return the process's exit status: the work's, 1 if it failed, 128 + n after a signal."""
    try:
        with Session(var, terminal) as session:
            return work(session)
    except SessionFailed as error:
        print(f"\n{program}: {error}", file=sys.stderr)
        return 1
    except Interrupted as interrupted:
        print(f"\nStopped by {interrupted}.", file=sys.stderr)
        return interrupted.exit_status


def _end(children: Sequence[Child], grace: timedelta) -> None:
    for child in children:
        child.end()
    deadline = time.monotonic() + grace.total_seconds()
    while time.monotonic() < deadline and any(child.exit_status is None for child in children):
        time.sleep(0.01)
    for child in children:
        child.kill()


def _describe_other(other: RunRecord | None) -> str:
    if other is None or not other.session.is_alive():
        return "Another session is starting or ending in this clone. Try again in a few seconds."
    where = f", at {other.address}" if other.address else ""
    return f"The platform already runs in this clone: process {other.session.pid}{where}. End it with Ctrl-C there, or: kill {other.session.pid}"
