"""How the partner's breakers stand, for people and programs."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from app.engine.circuit_breaker import State, shared_records
from app.workload.integrations.endpoints import BREAKERS, ENDPOINTS


@dataclass(frozen=True, kw_only=True, slots=True)
class BreakerState:
    name: str
    endpoints: tuple[str, ...]
    state: State
    failures: int
    probe_in: timedelta
    """Until the next probe may leave."""
    reason: str
    changed_at: datetime | None


def breaker_states() -> list[BreakerState]:
    """One request to DynamoDB. Raises :class:`~app.engine.aws.errors.AwsUnavailable` or ``AwsRefused``."""
    now = time.time()
    return [
        BreakerState(
            name=record.name,
            endpoints=tuple(endpoint.name for endpoint in ENDPOINTS if endpoint.breaker == record.name),
            state=record.state(now),
            failures=record.failures,
            probe_in=timedelta(seconds=round(record.seconds_left(now), 1)),
            reason=record.reason,
            changed_at=datetime.fromtimestamp(record.changed_at, UTC) if record.changed_at else None,
        )
        for record in shared_records().read_all(BREAKERS)
    ]
