"""``scripts/operate``: one of Django's commands runs in a deployed stage, and its output comes here as if it ran here.

    start ──▶ follow ──▶ the command's own exit status
                 ├─ Ctrl-C ──▶ the task is stopped, and followed to its end; a second one leaves it
                 ├─ nobody reads its output any more ──▶ the task is stopped
                 └─ this program is killed, or AWS is out of reach ──▶ the task goes on; --follow comes back to it

What is on standard output was on the command's standard output. All that is about the task is on standard error.
"""

import argparse
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from types import FrameType
from typing import Any, BinaryIO

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from app.topology.one_offs import OPERATOR
from infra.stages import STAGES
from scripts.cloud.caller import Caller, CallerUnknown, read_caller
from scripts.cloud.commands import refusal_of, with_responsible
from scripts.cloud.following import LINES_WITHIN, Following, Transcript
from scripts.cloud.one_off import OneOffFailed, Task, start, stop, task_of

#: As argparse and shells have them: the order was not understood, or not begun.
NOT_BEGUN = 2
#: Of a task that we have lost sight of, and of one that ended without an exit code.
LOST = 3
_BROKEN_PIPE = 128 + signal.SIGPIPE
_INTERRUPTED = 128 + signal.SIGINT
_ENOUGH = 2


def main(arguments: Sequence[str] | None = None) -> int:
    options = read_order(arguments)
    return Operation("scripts/operate", options.stage, options.name_prefix).run(options.command, follow=options.follow)


def read_order(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line: ``stage``, ``command``, ``follow``, ``name_prefix``. Ends the process if it is not understood."""
    parser = argparse.ArgumentParser(
        prog="scripts/operate",
        description="Run one of Django's commands in a deployed stage, as a task of its own with the role `operator`.",
        usage="scripts/operate [--name-prefix PREFIX] STAGE COMMAND ...\n       scripts/operate [--name-prefix PREFIX] --follow TASK STAGE",
        epilog="Ctrl-C stops the task. Examples: scripts/operate prod dead_letters groups; scripts/operate prod arrivals emails > jobs.csv",
    )
    parser.add_argument("--name-prefix", metavar="PREFIX", help="if the stage was deployed with another one than its own")
    parser.add_argument("--follow", metavar="TASK", help="come back to a task that was started before, and show it from its beginning")
    parser.add_argument("stage", choices=sorted(STAGES), metavar="STAGE", help=", ".join(sorted(STAGES)))
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="COMMAND", help="what `scripts/manage` takes on a laptop")
    options = parser.parse_args(arguments)
    if bool(options.command) is bool(options.follow):
        parser.error("expected a COMMAND, or --follow and none")
    if options.command and options.command[0].startswith("-"):
        parser.error(f"{options.command[0]} stands where the COMMAND is expected; options of scripts/operate come before STAGE")
    return options


class Operation:
    """One command for one deployment, whose prefix is the stage's unless told otherwise; as is ``client`` the session's, ``out`` standard output."""

    def __init__(
        self,
        program: str,
        stage: str,
        prefix: str | None = None,
        *,
        client: Callable[[str], Any] | None = None,
        caller: Callable[[], Caller] | None = None,
        out: BinaryIO | None = None,
        look_every: timedelta = OPERATOR.asked_every,
        lines_within: timedelta = LINES_WITHIN,
    ) -> None:
        session = boto3.session.Session()
        self._program = program
        self._stage = stage
        self._prefix = prefix or STAGES[stage].name_prefix
        self._client = client or session.client
        self._caller = caller or (lambda: read_caller(session))
        self._out = out or sys.stdout.buffer
        self._look_every = look_every
        self._lines_within = lines_within
        self._interruptions = 0

    def run(self, command: Sequence[str], *, follow: str | None = None) -> int:
        """Start it, or come back to it, and return its exit status. Says on standard error what went wrong."""
        if reason := refusal_of(command):
            self._tell(reason)
            return NOT_BEGUN
        try:
            by = self._caller().name
            with self._counting_interruptions():
                if follow is not None:
                    task = task_of(OPERATOR, follow, prefix=self._prefix)
                else:
                    task = start(OPERATOR, with_responsible(command, by), prefix=self._prefix, client=self._client, by=by)
                    self._tell(f"The task {task.id} is started by {by}. It takes some half a minute to begin; Ctrl-C stops it.")
                return self._follow(task, by)
        except (OneOffFailed, CallerUnknown, ClientError, BotoCoreError) as error:
            self._tell(str(error))
            return NOT_BEGUN

    def _follow(self, task: Task, by: str) -> int:
        following = Following(
            task, Transcript(self._out, sys.stderr.buffer), client=self._client, tell=self._tell, lines_within=self._lines_within
        )
        is_stopped = False
        try:
            while (end := following.look()) is None:
                if self._interruptions >= _ENOUGH:
                    self._tell(f"Left alone. {self._back(task)}")
                    return _INTERRUPTED
                if self._interruptions and not is_stopped:
                    is_stopped = True
                    stop(task, client=self._client, reason=f"{self._program}: Ctrl-C by {by}")
                    self._tell(f"It is told to stop, and has {OPERATOR.stop_timeout} to do so. Ctrl-C again leaves it alone.")
                time.sleep(self._look_every.total_seconds())
        except BrokenPipeError:
            stop(task, client=self._client, reason=f"{self._program}: nobody reads its output any more")
            if self._out is sys.stdout.buffer:
                # Python flushes it at its end, and would complain.
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return _BROKEN_PIPE
        except (ClientError, BotoCoreError) as error:
            self._tell(f"{error}. The task goes on. {self._back(task)}")
            return LOST
        if end.problem:
            self._tell(end.problem)
            # What lacks its end did not go well, whatever ECS says.
            return end.exit_code or LOST
        return end.exit_code or 0

    def _back(self, task: Task) -> str:
        return f"To come back to it: scripts/operate --name-prefix {self._prefix} --follow {task.id} {self._stage}"

    def _tell(self, text: str) -> None:
        print(f"{self._program}: {text}", file=sys.stderr, flush=True)

    @contextmanager
    def _counting_interruptions(self) -> Iterator[None]:
        """Ctrl-C is noticed between two looks: an exception could strike after AWS's answer and before we have it."""

        def count(_number: int, _frame: FrameType | None) -> None:
            self._interruptions += 1

        before = signal.signal(signal.SIGINT, count)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)


if __name__ == "__main__":
    sys.exit(main())
