"""Why a message is not run: it would hurt the worker, no worker could run it, or this one does not know its task."""

from typing import Literal

from app.engine.errors import EngineError, PermanentError

LONGEST_DETAIL = 300

Reason = Literal[
    "too-large",
    "not-json",
    "too-deep",
    "envelope",
    "protocol-1",
    "content-type",
    "content-encoding",
    "compressed",
    "bad-header",
    "bad-retries",
    "bad-time-limit",
    "bad-eta",
    "bad-expires",
    "bad-body",
    "bad-callbacks",
    "bad-arguments",
    "claim-check",
]


class Refused(PermanentError):
    """A message that would hurt the worker, or that no worker could ever run."""

    def __init__(self, reason: Reason, detail: str) -> None:
        # What a producer chose, the name of a keyword argument, can be part of it: it must fit everywhere and break no log line.
        detail = detail.encode("ascii", "backslashreplace").decode()
        super().__init__(reason, detail if len(detail) <= LONGEST_DETAIL else detail[: LONGEST_DETAIL - 3] + "...")

    @property
    def reason(self) -> Reason:
        """For programs."""
        reason: Reason = self.args[0]
        return reason

    @property
    def detail(self) -> str:
        """For people: one sentence of at most 300 characters. Never the payload, which may hold anything."""
        return str(self.args[1])

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}"


class UnknownTask(EngineError):
    """A good envelope for a task that this worker does not have; a newer or an older one may."""

    def __init__(self, task: str) -> None:
        super().__init__(task)
        self.task = task
