"""What holds the messages of a stack, as the harness sees it: the fake AWS, or a Redis server."""

from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Account:
    """The books at one moment. Everything but ``items`` and what ``queue`` holds counts from the broker's start."""

    requests: Counter[str]
    """AWS requests by operation: other brokers cost none."""
    sent_bytes: int
    """That came in with requests to send; of Redis everything that came in."""
    items: dict[str, int]
    """Stored results by table."""
    cpu_seconds: float
    queues: dict[str, dict[str, Any]]

    def requests_since(self, earlier: "Account") -> Counter[str]:
        return self.requests - earlier.requests

    def queue(self, name: str, entry: str) -> Any:
        return self.queues.get(name, {}).get(entry, 0)

    def since(self, earlier: "Account", queue: str, entry: str) -> int:
        return int(self.queue(queue, entry) - earlier.queue(queue, entry))

    def results(self) -> int:
        return sum(self.items.values())


class Broker(Protocol):
    """Not safe for threads."""

    @property
    def address(self) -> str:
        """A URL for the stacks, good for the latency that is set."""

    def create_queue(self, name: str) -> str: ...

    def create_table(self, name: str, key: str) -> None: ...

    def account(self) -> Account: ...

    def set_latency(self, latency: timedelta) -> None:
        """Hold back each answer so long."""

    def clear(self) -> None:
        """Empty every queue and forget every result. Kept messages stay kept."""

    def keep(self, queue: str) -> int:
        """Remember what is in the queue, empty it, and return how many messages it were."""

    def refill(self, queue: str, start: int, stop: int, per_second: float | None = None) -> float:
        """Send that slice of the kept messages again and return when that began, by the machine's monotonic clock."""

    def end_polls(self, queue: str) -> None:
        """Answer waiting polls with nothing, as if their time were over, so that an idle worker asks anew."""
