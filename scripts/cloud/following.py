"""Follows a task of ECS to its end, and puts together what its command says.

    started ──▶ its lines come, seconds late ──▶ the last one, with the exit code
                     └─ the task has stopped and no last line comes ──▶ ended without one: killed, or never begun

CloudWatch may show a line after the task has stopped. So the end is the last line, and not what ECS says of the task.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, BinaryIO

from app.engine.logs.transcript import Ended, Said, Stream, read_line
from scripts.cloud.one_off import Task

#: How long lines may be late after the task has stopped.
LINES_WITHIN = timedelta(seconds=60)


@dataclass(frozen=True, kw_only=True, slots=True)
class End:
    """How it ended."""

    exit_code: int | None
    """``None``: nobody says."""
    problem: str = ""
    """Why there may be more that was not shown. Empty if all is there."""


class Transcript:
    """Puts lines in their order, and what they say on the stream where it belongs; lines that are none of it go to ``err``."""

    def __init__(self, out: BinaryIO, err: BinaryIO) -> None:
        self._streams = {Stream.STDOUT: out, Stream.STDERR: err}
        self._ahead: dict[int, Said | Ended] = {}
        self._next = 0
        self.exit_code: int | None = None

    @property
    def lacks(self) -> str:
        """Which line has not come while later ones have."""
        return f"line {self._next} and maybe more" if self._ahead else ""

    def take(self, text: str) -> None:
        line = read_line(text)
        if line is None:
            self._write(Stream.STDERR, text.encode(errors="surrogateescape") + b"\n")
            return
        # CloudWatch may have a line twice: its log driver tries again what it has no answer for.
        if line.number >= self._next:
            self._ahead[line.number] = line
        while (following := self._ahead.pop(self._next, None)) is not None:
            self._next += 1
            if isinstance(following, Ended):
                self.exit_code = following.exit_code
            else:
                self._write(following.stream, following.text)

    def _write(self, stream: Stream, text: bytes) -> None:
        self._streams[stream].write(text)
        self._streams[stream].flush()


class Following:
    """One task. ``tell`` gets what ECS says of it, for a person. Raises what botocore and the streams raise; the task goes on then."""

    def __init__(
        self,
        task: Task,
        transcript: Transcript,
        *,
        client: Callable[[str], Any],
        tell: Callable[[str], None],
        lines_within: timedelta = LINES_WITHIN,
    ) -> None:
        self._task = task
        self._transcript = transcript
        self._ecs = client("ecs")
        self._logs = client("logs")
        self._tell = tell
        self._lines_within = lines_within
        self._status = ""
        self._token: str | None = None
        self._silent_since: float | None = None

    def look(self) -> End | None:
        """Pass on what has come since the last time; how it ended, if it has."""
        told = self._described()
        came = self._read()
        if self._transcript.exit_code is not None:
            return End(exit_code=self._transcript.exit_code)
        if told is not None and told["lastStatus"] != "STOPPED":
            self._silent_since = None
            return None
        exit_code, reason = _last_words(told)
        if told is not None and exit_code is None and self._token is None:
            return End(exit_code=None, problem=f"The task never began: {reason}")
        if came or self._silent_since is None:
            self._silent_since = time.monotonic()
        if time.monotonic() - self._silent_since < self._lines_within.total_seconds():
            return None
        lacks = self._transcript.lacks or "its last line"
        return End(
            exit_code=exit_code,
            problem=f"The task has stopped ({reason}), and CloudWatch lacks {lacks}. What has come is in the log group "
            f"{self._task.log_group}, stream {self._task.log_stream}.",
        )

    def _described(self) -> dict[str, Any] | None:
        """``None``: ECS does not know it yet, or has forgotten it, as it does an hour after a task's end."""
        found = self._ecs.describe_tasks(cluster=self._task.cluster, tasks=[self._task.id])["tasks"]
        if not found:
            return None
        told: dict[str, Any] = found[0]
        if told["lastStatus"] != self._status:
            self._status = told["lastStatus"]
            self._tell(f"The task {self._task.id} is {self._status}.")
        return told

    def _read(self) -> bool:
        """Page by page, until CloudWatch answers with the token that it was asked with: it has no more now."""
        came = False
        while True:
            asked = {"nextToken": self._token} if self._token else {}
            try:
                page = self._logs.get_log_events(
                    logGroupName=self._task.log_group, logStreamName=self._task.log_stream, startFromHead=True, **asked
                )
            except self._logs.exceptions.ResourceNotFoundException:
                return came
            for event in page["events"]:
                came = True
                self._transcript.take(event["message"])
            token = page["nextForwardToken"]
            is_over = token == self._token
            self._token = token
            if is_over:
                return came


def _last_words(told: dict[str, Any] | None) -> tuple[int | None, str]:
    """Exit code and reason, as ECS has them of a task that has stopped."""
    if told is None:
        return None, "ECS does not know it, or not any more"
    containers = told.get("containers") or [{}]
    exit_code = containers[0].get("exitCode")
    reasons = [reason for reason in (containers[0].get("reason"), told.get("stoppedReason")) if reason]
    return exit_code, ", ".join(reasons) or f"exit code {exit_code}"
