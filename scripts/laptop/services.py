"""The services of the topology, as processes: started alike, watched, and started again as ECS would."""

import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from http import HTTPStatus
from pathlib import Path

from app.topology import HttpHealth, PulseHealth, ServicePolicy
from scripts.laptop.environment import service_environment
from scripts.laptop.session import Child, Session, SessionFailed

CRASHES_ALLOWED = 5
CRASHES_WITHIN = timedelta(minutes=1)
_FIRST_PAUSE = timedelta(milliseconds=500)
_HEALTHY_WITHIN = timedelta(seconds=90)
#: Less than the policy's own time-out: between two looks Ctrl-C must be seen.
_LONGEST_LOOK_SECONDS = 1.0


@dataclass(kw_only=True, slots=True)
class _Run:
    """One service: its process, or the pause until the next one."""

    policy: ServicePolicy
    child: Child | None = None
    is_healthy: bool = False
    crashes: list[float] = field(default_factory=list)
    start_again_at: float | None = None


class Services:
    """Starts services and keeps them running. ``is_patient=False``: the first crash raises :class:`SessionFailed`.

    ``environment`` is every service's, ``of_service`` is what one of them gets besides.
    """

    def __init__(
        self,
        session: Session,
        policies: Sequence[ServicePolicy],
        *,
        environment: Mapping[str, str],
        web: str,
        repository: Path,
        is_patient: bool,
        of_service: Mapping[str, Mapping[str, str]] | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._session = session
        self._runs = [_Run(policy=policy) for policy in policies]
        self._environment = environment
        self._of_service = of_service or {}
        self._web = web
        self._pulses = Path(environment["PULSE_DIRECTORY"])
        self._repository = repository
        self._is_patient = is_patient
        self._now = now
        self._is_up = False

    def start_web(self) -> None:
        """Start what only answers requests: it needs the database, and AWS not before the first request."""
        self._start_where(lambda policy: isinstance(policy.health, HttpHealth))

    def start(self) -> None:
        """Start what is not started yet."""
        self._start_where(lambda _: True)

    def _start_where(self, is_wanted: Callable[[ServicePolicy], bool]) -> None:
        self._pulses.mkdir(parents=True, exist_ok=True)
        for run in self._runs:
            if run.child is None and is_wanted(run.policy):
                self._start(run)
        if self._watch not in self._session.watchers:
            self._session.watchers.append(self._watch)

    def wait_until_healthy(self) -> None:
        """Raises :class:`SessionFailed` with the last words of those that did not get there in time."""
        try:
            self._session.wait_until(self._are_healthy, self._describe, _HEALTHY_WITHIN)
        except SessionFailed as late:
            words = [f"{run.child.log}:\n{run.child.tail()}" for run in self._runs if not run.is_healthy and run.child]
            raise SessionFailed("\n".join([str(late), *words])) from late
        self._is_up = True

    def stop(self) -> None:
        """End all of them as ECS does, and wait: each has as long as its policy says. Raises :class:`SessionFailed` for one that needs longer."""
        self._session.watchers.remove(self._watch)
        children = [(run.policy, run.child) for run in self._runs if run.child is not None]
        for _, child in children:
            child.end()
        for policy, child in children:
            self._await_end(policy, child)

    def _await_end(self, policy: ServicePolicy, child: Child) -> None:
        self._session.wait_until(lambda: child.exit_status is not None, lambda: f"waiting for {policy.name} to end", policy.stop_timeout)
        self._session.forget(child)

    def _start(self, run: _Run) -> None:
        policy = run.policy
        if isinstance(policy.health, PulseHealth):
            self._pulse_of(policy).unlink(missing_ok=True)  # a pulse that is there belongs to this process
        run.is_healthy = False
        run.start_again_at = None
        environment = {**service_environment(self._environment, policy), **self._of_service.get(policy.name, {})}
        run.child = self._session.start(policy.name, _resolve(policy), environment, self._repository)

    def _pulse_of(self, policy: ServicePolicy) -> Path:
        from app.engine.pulse import pulse_file  # brings Django along: not before the servers are starting

        return pulse_file(self._pulses, policy.name)

    # | running ── crash ──▶ pausing ── pause over ──▶ running |  running ── fifth crash in a minute ──▶ given up |
    def _watch(self) -> None:
        for run in self._runs:
            if run.child is not None and run.child.exit_status is not None:
                self._note_crash(run, run.child)
            elif run.start_again_at is not None and self._now() >= run.start_again_at:
                self._session.terminal.say(f"Starting {run.policy.name} again.")
                self._start(run)

    def _note_crash(self, run: _Run, child: Child) -> None:
        run.child = None
        self._session.forget(child)
        name = run.policy.name
        report = f"{name} {child.how_it_ended()}. The end of {child.log}:\n{child.tail()}"
        if not self._is_patient:
            raise SessionFailed(report)
        run.crashes = [at for at in run.crashes if self._now() - at < CRASHES_WITHIN.total_seconds()] + [self._now()]
        if len(run.crashes) >= CRASHES_ALLOWED:
            if not self._is_up:
                raise SessionFailed(f"{report}\n{name} crashed {CRASHES_ALLOWED} times within a minute.")
            self._session.terminal.say(f"{report}\nGave {name} up: {CRASHES_ALLOWED} crashes within a minute. The others go on.")
            return
        pause = _FIRST_PAUSE.total_seconds() * 2 ** (len(run.crashes) - 1)
        run.start_again_at = self._now() + pause
        self._session.terminal.say(f"{report}\nIt starts again in {pause:g} s.")

    def _are_healthy(self) -> bool:
        for run in self._runs:
            run.is_healthy = run.is_healthy or self._is_healthy(run)
        return all(run.is_healthy for run in self._runs)

    def _is_healthy(self, run: _Run) -> bool:
        if run.child is None:
            return False
        match run.policy.health:
            case HttpHealth() as health:
                return _answers(f"{self._web}{health.path}", min(health.timeout.total_seconds(), _LONGEST_LOOK_SECONDS))
            case PulseHealth() as health:
                return _is_younger(self._pulse_of(run.policy), health.max_age)

    def _describe(self) -> str:
        awaited = [run.policy.name for run in self._runs if not run.is_healthy]
        return f"waiting for {', '.join(awaited)}"


def _resolve(policy: ServicePolicy) -> list[str]:
    program, *arguments = policy.command
    path = Path(sys.prefix) / "bin" / program
    if not path.exists():
        raise SessionFailed(
            f"{policy.name} wants the program {program!r}, which is not in {path.parent}. Add its package to requirements.in."
        )
    return [str(path), *arguments]


def _answers(url: str, seconds: float) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=seconds) as answer:  # noqa: S310 — our own address
            return int(answer.status) == HTTPStatus.OK
    except (urllib.error.URLError, OSError):
        return False


def _is_younger(pulse: Path, max_age: timedelta) -> bool:
    try:
        return time.time() - pulse.stat().st_mtime <= max_age.total_seconds()
    except FileNotFoundError:
        return False
