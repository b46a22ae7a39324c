"""Deliveries as the ledger sees them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from app.engine.job_ledger import Admission
from app.engine.ledger.claims import Claims


@dataclass(eq=False)
class FakeDelivery:
    task_id: str = "1"
    message_id: str = "m1"
    tag: str = "tag-1"
    task: str = "shop.charge"
    queue: str = "default"
    receive_count: int = 1
    is_redriven: bool = False
    redrives: int = 0
    fence: int | None = None
    headers: dict[str, Any] = field(default_factory=dict)
    system_attributes: Mapping[str, str] = field(default_factory=dict)

    @property
    def payload(self) -> dict[str, Any]:
        return {"headers": self.headers}


def admission_of(claims: Claims, key: str, delivery: FakeDelivery, lease_seconds: float, worker: str) -> Admission:
    """Of one delivery; raises what stands in its place."""
    (answer,) = claims.claim([(key, delivery)], lease_seconds, worker)
    if isinstance(answer, Exception):
        raise answer
    return answer
