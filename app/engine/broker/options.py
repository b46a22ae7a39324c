"""What the transport is told: ``broker_transport_options``, read once and checked as a whole."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.engine.broker.errors import BrokerMisconfigured
from app.topology.buckets import CLAIM_CHECKS

#: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html
LONGEST_WAIT_SECONDS = 20
LONGEST_DELAY_SECONDS = 900
LARGEST_MESSAGE_BYTES = 1024 * 1024
#: A body doubles at most when its quotes are escaped in the message, which must still fit.
LARGEST_UNCLAIMED_BYTES = LARGEST_MESSAGE_BYTES // 2
#: A poll is not silent before SQS had time to answer it: wait_time_seconds, and what an answer may take.
ANSWER_SECONDS = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class QueueOptions:
    """One entry of ``predefined_queues``."""

    name: str
    url: str
    dead_letter_url: str | None = None
    """Where messages go that will never succeed. Left out, it is read from the queue's redrive policy."""
    weight: int = 1
    """Its share of a worker that serves several queues."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ClaimCheckOptions:
    """Where bodies go that are too large for a message."""

    bucket: str
    larger_than_bytes: int = 256 * 1024
    prefix: str = CLAIM_CHECKS
    kms_key_id: str | None = None
    """Left out, S3 encrypts with its own key."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BrokerOptions:
    """Everything but ``queues`` has a default. Keys that kombu's own transport knows and we do not are left to kombu."""

    queues: Mapping[str, QueueOptions]
    endpoint_url: str | None = None
    """Another AWS than the real one."""
    wait_time_seconds: int = LONGEST_WAIT_SECONDS
    """How long SQS holds an empty receive. Longer is cheaper; a stopping worker waits for the last one."""
    prefetch_seconds: float = 1.0
    """How much work a worker takes in advance. Jobs that take longer than this are never taken before there is a slot for them."""
    delete_linger_seconds: float = 0.05
    """How long the delete of a finished job may wait for nine others."""
    longest_delay_seconds: int = LONGEST_DELAY_SECONDS
    unknown_task_seconds: float = 3600.0
    """How long a task that this worker does not know waits for one that does, before it goes to the dead letters."""
    latest_eta_seconds: float = 366 * 86400.0
    """A message due later than this is refused."""
    silent_poll_seconds: float = 60.0
    """A queue that has not been polled for so long, although there was room, gets a new receiver."""
    tenant_header: str = "tenant"
    """The header whose value becomes the message group: SQS serves groups in turn (fair queues)."""
    release: str = ""
    """Of this program, for the dead letters."""
    claim_check: ClaimCheckOptions | None = None

    @classmethod
    def read(cls, options: Mapping[str, Any]) -> "BrokerOptions":
        """Raises :class:`~app.engine.broker.errors.BrokerMisconfigured` with every problem of ``options``."""
        reader = _Reader(options)
        wait = int(reader.number("wait_time_seconds", LONGEST_WAIT_SECONDS, 1, LONGEST_WAIT_SECONDS))
        read = cls(
            queues=reader.queues(),
            endpoint_url=reader.text("endpoint_url"),
            wait_time_seconds=wait,
            prefetch_seconds=reader.number("prefetch_seconds", 1.0, 0, 3600),
            delete_linger_seconds=reader.number("delete_linger_seconds", 0.05, 0, 5),
            longest_delay_seconds=int(reader.number("longest_delay_seconds", LONGEST_DELAY_SECONDS, 1, LONGEST_DELAY_SECONDS)),
            unknown_task_seconds=reader.number("unknown_task_seconds", 3600.0, 0, 4 * 86400),
            latest_eta_seconds=reader.number("latest_eta_seconds", 366 * 86400.0, 0, math.inf),
            silent_poll_seconds=reader.number("silent_poll_seconds", 60.0, wait + ANSWER_SECONDS, 3600),
            tenant_header=str(options.get("tenant_header", "tenant")),
            release=str(options.get("release", "")),
            claim_check=reader.claim_check(),
        )
        if reader.problems:
            raise BrokerMisconfigured("broker_transport_options:\n" + "\n".join(f"  {problem}" for problem in reader.problems))
        return read


class _Reader:
    def __init__(self, options: Mapping[str, Any]) -> None:
        self._options = options
        self.problems: list[str] = []

    def number(self, name: str, default: float, low: float, high: float) -> float:
        value = self._options.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            self.problems.append(f"{name}: expected a number from {low:g} to {high:g}, got {value!r}")
            return default
        return value

    def queues(self) -> dict[str, QueueOptions]:
        declared = self._options.get("predefined_queues")
        if not isinstance(declared, Mapping) or not declared:
            self.problems.append("predefined_queues: expected {'name': {'url': 'https://sqs…'}}: queues are neither looked for nor made")
            return {}
        return {str(name): self._queue(str(name), entry) for name, entry in declared.items()}

    def text(self, name: str) -> str | None:
        value = self._options.get(name)
        if value is not None and (not isinstance(value, str) or not value):
            self.problems.append(f"{name}: expected a text that is not empty, got {value!r}")
            return None
        return value

    def _queue(self, name: str, entry: Any) -> QueueOptions:
        if not isinstance(entry, Mapping) or not isinstance(entry.get("url"), str) or not entry["url"]:
            self.problems.append(f"predefined_queues[{name!r}]: expected a mapping with a 'url', got {entry!r}")
            return QueueOptions(name=name, url="")
        weight = entry.get("weight", 1)
        if isinstance(weight, bool) or not isinstance(weight, int) or not 1 <= weight <= 1000:  # noqa: PLR2004 — a share, not a priority
            self.problems.append(f"predefined_queues[{name!r}].weight: expected a whole number from 1 to 1000, got {weight!r}")
            weight = 1
        dead_letters = entry.get("dead_letter_url")
        if dead_letters is not None and not isinstance(dead_letters, str):
            self.problems.append(f"predefined_queues[{name!r}].dead_letter_url: expected the address of a queue, got {dead_letters!r}")
            dead_letters = None
        return QueueOptions(name=name, url=entry["url"], dead_letter_url=dead_letters, weight=weight)

    def claim_check(self) -> ClaimCheckOptions | None:
        declared = self._options.get("claim_check")
        if declared is None:
            return None
        if not isinstance(declared, Mapping) or not isinstance(declared.get("bucket"), str):
            self.problems.append(f"claim_check: expected a mapping with a 'bucket', got {declared!r}")
            return None
        try:
            read = ClaimCheckOptions(**declared)
        except TypeError as error:
            self.problems.append(f"claim_check: {str(error).partition(' ')[2]}")
            return None
        self._check_claim_check(read)
        return read

    def _check_claim_check(self, read: ClaimCheckOptions) -> None:
        most: object = read.larger_than_bytes
        if isinstance(most, bool) or not isinstance(most, int) or not 0 <= most <= LARGEST_UNCLAIMED_BYTES:
            self.problems.append(
                f"claim_check.larger_than_bytes: expected a whole number from 0 to {LARGEST_UNCLAIMED_BYTES}, got {most!r}"
            )
        # Without a prefix, a message could make a worker read, and delete, anything in the bucket.
        texts: tuple[tuple[str, object], ...] = (("bucket", read.bucket), ("prefix", read.prefix))
        for name, value in texts:
            if not isinstance(value, str) or not value:
                self.problems.append(f"claim_check.{name}: expected a text that is not empty, got {value!r}")
        key: object = read.kms_key_id
        if key is not None and not isinstance(key, str):
            self.problems.append(f"claim_check.kms_key_id: expected the id of a key, got {read.kms_key_id!r}")
