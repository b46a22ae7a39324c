"""A test's hold on its deployment's port."""

import http.client
import json
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlsplit

from tests.support.faults import Fault, Network
from tests.support.strict_sqs.habits import Habits


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """One request of a deployment: SQS's by name, another service's as ``DynamoDB.PutItem``. What is tunnelled is not noted."""

    at: float
    """When it arrived, by ``time.monotonic()``, which all processes of a machine share."""
    operation: str
    queue: str
    """The queue's physical name; empty where there is none."""
    entries: int
    """Messages: of a batch what was asked, of a receive what was got."""
    status: int
    """0 if it was not answered, or its client did not wait for the answer."""
    access_key: str
    """Who signed it; empty for nobody."""


class StrictSqs:
    """Opens a port at the process whose control port is ``control``; ``url`` is what clients are told."""

    def __init__(self, control: str, *, seed: int, habits: Habits | None = None) -> None:
        self._control = urlsplit(control).netloc
        number = self._ask("POST", "ports", {"seed": seed, "habits": asdict(habits or Habits())})
        self._path = f"ports/{number}"
        self.url = f"http://127.0.0.1:{number}"

    def habits(self, **changes: float) -> None:
        """Change single habits: ``habits(duplicates=0)``. See :class:`Habits`."""
        self._ask("PATCH", f"{self._path}/habits", changes)

    def fail(self, operation: str | None, fault: Fault, probability: float = 1.0, seconds: float = 3.0) -> None:
        """Fail an operation until :meth:`heal`: ``ReceiveMessage``, ``DynamoDB.PutItem``, ``DynamoDB.*``; ``None`` is all of SQS.

        Of several faults that fit, the latest one decides. ``seconds`` is SLOW's. REFUSED closes the port, and so to every service.
        """
        if fault is Fault.REFUSED and (operation is not None or probability != 1):
            raise ValueError("REFUSED is the whole port's: expected operation None and probability 1")
        rule = {"operation": operation, "fault": fault.name, "probability": probability, "seconds": seconds}
        self._ask("POST", f"{self._path}/faults", rule)

    def heal(self) -> None:
        """End every fault and hang up on those who wait for an answer that was swallowed."""
        self.become(Network.HEALTHY)

    def become(self, state: Network) -> None:
        """Set the whole network's state for new and open connections, whatever the service; ends every fault."""
        self._ask("PUT", f"{self._path}/network", {"state": state.name})

    def requests(self) -> list[Request]:
        """The requests that have ended, oldest first; an open long poll is not among them yet."""
        rows = self._ask("GET", f"{self._path}/requests")
        return [
            Request(at=at, operation=operation, queue=queue, entries=entries, status=status, access_key=access_key)
            for at, operation, queue, entries, status, access_key in rows
        ]

    def open_requests(self) -> int:
        """How many wait for their answer now, such as long polls."""
        count: int = self._ask("GET", f"{self._path}/open-requests")
        return count

    def reset(self) -> None:
        """Forget the requests so far."""
        self._ask("DELETE", f"{self._path}/requests")

    def close(self) -> None:
        self._ask("DELETE", self._path)

    def _ask(self, method: str, path: str, document: Any = None) -> Any:
        connection = http.client.HTTPConnection(self._control, timeout=10)
        try:
            connection.request(method, f"/__shim/{path}", None if document is None else json.dumps(document))
            answer = connection.getresponse()
            body = answer.read()
        finally:
            connection.close()
        if answer.status != 200:
            raise AssertionError(f"{method} {path}: {json.loads(body)}")
        return json.loads(body)
