"""What the transport asks of whoever keeps the record of every job. Without one, jobs are sent unrecorded, and run as they come.

enqueued ──begin──▶ recorded, while it is sent ──not sent──▶ recorded as such

received ──admit──▶ RUN (with a fence) ──run──▶ result ──stored──▶ told to SQS
             ├────▶ FINISHED: run before, or cancelled ──────────▶ deleted without a run
             ├────▶ FAILED: this message's run, for good ────────▶ moved to the dead letters, if its worker could not
             └────▶ LATER: somebody else is running it ──────────▶ put off
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

#: Under this name the fence of a claim travels to the run, among what the transport says of its delivery.
FENCE = "fence"


@dataclass(frozen=True, kw_only=True, slots=True)
class Enqueued:
    """One job on its way to its queue."""

    headers: Mapping[str, Any]
    """Of its message, as Celery writes them."""
    queue: str
    tenant: str | None = None
    body: Any = None
    """Arguments, and what follows the job: as Celery writes it, or its JSON."""


class Recording(Protocol):
    """The records of some jobs, being written. Methods never raise."""

    def not_sent(self, reasons: Mapping[str, str], *, is_certain: bool) -> None:
        """Note of these ids that SQS did not take their message; or, if that is not certain, that it did not say."""

    def wait(self) -> bool:
        """Until all are written, for a second at most; not at all while the store is away. False if they are not."""


class JobRegister(Protocol):
    """Set ``Program.job_register``. Methods may be called by any thread, and never raise."""

    def begin(self, jobs: Sequence[Enqueued]) -> Recording:
        """Begin to record that these jobs are enqueued. Never waits."""

    def write(self, items: list[dict[str, Any]]) -> bool:
        """Write records that could not be written before. False if they still cannot. May take a second."""


class Delivery(Protocol):
    """One delivery of one message, as the broker knows it."""

    fence: int | None
    """Of its claim, set by :meth:`JobLedger.admit`."""

    @property
    def queue(self) -> str: ...
    @property
    def task(self) -> str: ...
    @property
    def task_id(self) -> str: ...
    @property
    def tag(self) -> str:
        """By which Celery knows the delivery: ``request.properties["delivery_tag"]``."""

    @property
    def message_id(self) -> str: ...
    @property
    def receive_count(self) -> int: ...
    @property
    def payload(self) -> dict[str, Any]:
        """kombu's message: headers, properties, body."""

    @property
    def is_redriven(self) -> bool:
        """Whether a person has sent it back from the dead letters."""

    @property
    def redrives(self) -> int:
        """How often its job was sent back, this time included."""

    @property
    def system_attributes(self) -> Mapping[str, str]:
        """What SQS says of the message."""


class Verdict(Enum):
    RUN = "run"
    FINISHED = "finished"
    FAILED = "failed"
    LATER = "later"


class Keeping(Enum):
    """What became of a result."""

    STORED = "stored"
    REFUSED = "refused"
    """The store said no for good: the job may run again."""
    LOST = "lost"
    """Another run of the job has taken over: this one's result counts no more, nor does its message."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RecordedFailure:
    """What the record of a failed run says of its exception."""

    exception: str
    """Its class, with its module."""
    message: str
    trace: str
    """The formatted traceback, or nothing."""
    attempts: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Admission:
    """What is to be done with a delivery."""

    verdict: Verdict
    reason: str = ""
    seconds: int = 0
    """How long a job is put off."""
    is_copy: bool = False
    """Another message of the same job is being run; otherwise it is this very message."""
    failure: RecordedFailure | None = None
    """Of a job that has failed."""


RUN = Admission(verdict=Verdict.RUN)


class JobLedger(Protocol):
    """Set ``Program.job_ledger`` before a worker starts. Methods may be called by any thread, and never raise."""

    def admit(self, deliveries: Sequence[Delivery], lease_seconds: float) -> Sequence[Admission]:
        """Claim the jobs of these deliveries; one answer each, in order. What is claimed gets a ``fence``. May take a store's time-out."""

    def renew(self, deliveries: Sequence[Delivery], lease_seconds: float) -> Sequence[Delivery]:
        """Extend the claims; return the deliveries whose claim is somebody else's by now."""

    def release(self, deliveries: Sequence[Delivery]) -> None:
        """Give claims back: others may run the jobs at once."""

    def when_kept(self, delivery: Delivery, then: Callable[[Keeping], None], failure: str = "") -> None:
        """Call ``then``, in any thread, when the outcome of that delivery's run is kept; at once, if there is none to keep.

        ``failure``, class and message: its message goes to the dead letters.
        """

    def flush(self, within: float) -> bool:
        """Keep every outcome now. False if something is left after ``within`` seconds."""


def fence_of(request: Any) -> int | None:
    """Of the claim under which a run (``self.request`` of a bound task) goes on: of two runs of one job, the later has the higher one.

    Pass it on to whoever can refuse a lower one. ``None`` for a run without a claim.
    """
    properties = getattr(request, "properties", None) or {}
    fence: int | None = (properties.get("delivery_info") or {}).get(FENCE)
    return fence
