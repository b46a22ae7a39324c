"""A person's terminal: ``scripts/operate`` and ``scripts/redrive`` as processes of their own, and Fargate's part beside them."""

import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

from scripts.laptop.environment import REGION, REPOSITORY, bare_environment
from scripts.laptop.session import Child, Session
from scripts.rehearsal.emulated_aws import EmulatedAws
from scripts.rehearsal.fargate import Fargate

_WITHIN = timedelta(minutes=3)
#: Each is two processes on this machine.
_AT_ONCE = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Done:
    command: tuple[str, ...]
    exit_status: int | None
    output: bytes
    """What was on standard output."""
    words: str
    """What was on standard error."""

    def document(self) -> Any:
        """The output as JSON; nothing if it is none."""
        try:
            return json.loads(self.output)
        except ValueError:
            return None

    @property
    def told(self) -> str:
        """For a person who is to find out what went wrong."""
        return (
            f"{' '.join(self.command)}: exit status {self.exit_status}: {self.output[-300:].decode(errors='replace')} {self.words[-600:]}"
        )


class Console:
    """For the main thread."""

    def __init__(self, session: Session, aws: EmulatedAws, fargate: Fargate, *, stage: str) -> None:
        self._session = session
        self._fargate = fargate
        self._stage = stage
        self._environment = bare_environment() | aws.account_variables() | {"AWS_ENDPOINT_URL": aws.address, "AWS_DEFAULT_REGION": REGION}
        self._numbers = count(1)

    def operate(self, *command: str) -> Done:
        """``scripts/operate STAGE COMMAND…``, to its end."""
        (done,) = self.operate_each([command])
        return done

    def operate_each(self, commands: Sequence[Sequence[str]]) -> list[Done]:
        """Some at a time."""
        done: list[Done] = []
        for start in range(0, len(commands), _AT_ONCE):
            some = commands[start : start + _AT_ONCE]
            done += self._await([self._begin("scripts.cloud.operate", self._stage, *command) for command in some])
        return done

    def redrive(self, *arguments: str) -> Done:
        """``scripts/redrive STAGE …``, to its end."""
        (done,) = self._await([self._begin("scripts.cloud.redrive", self._stage, *arguments)])
        return done

    def interrupt(self, *command: str, when: Callable[[], bool]) -> Done:
        """``scripts/operate``, and Ctrl-C as soon as its task runs and something is so."""
        begun = self._begin("scripts.cloud.operate", self._stage, *command)
        child = begun[1]
        self._wait(lambda: child.exit_status is not None or when(), command[0])
        if child.exit_status is None:
            os.kill(child.pid, signal.SIGINT)
        (done,) = self._await([begun])
        return done

    def _begin(self, module: str, *arguments: str) -> tuple[tuple[str, ...], Child, Path]:
        number = next(self._numbers)
        output = self._session.var / f"terminal-{number}.out"
        # As a person's shell does it; the process is Python's then, and takes the signal.
        shell = ["sh", "-c", 'exec "$@" > "$0"', str(output), sys.executable, "-m", module, *arguments]
        return arguments, self._session.start(f"terminal-{number}", shell, self._environment, REPOSITORY), output

    def _await(self, begun: Sequence[tuple[tuple[str, ...], Child, Path]]) -> list[Done]:
        self._wait(lambda: all(child.exit_status is not None for _, child, _ in begun), ", ".join(" ".join(one[0][1:3]) for one in begun))
        done = []
        for command, child, output in begun:
            self._session.forget(child)
            done.append(
                Done(
                    command=command, exit_status=child.exit_status, output=output.read_bytes(), words=child.log.read_text(errors="replace")
                )
            )
        return done

    def _wait(self, is_true: Callable[[], bool], what: str) -> None:
        def attended() -> bool:
            self._fargate.run_one_offs()
            return is_true()

        self._session.wait_until(attended, lambda: what, _WITHIN)
