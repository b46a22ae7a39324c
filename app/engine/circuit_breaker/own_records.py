"""What a process knows by itself, while the shared table is away."""

from dataclasses import replace
from threading import Lock

from app.engine.circuit_breaker.policy import BreakerPolicy
from app.engine.circuit_breaker.record import Record, State


class OwnRecords:
    """The records of one process; thread-safe. A fork goes on with a copy."""

    def __init__(self) -> None:
        self._records: dict[str, Record] = {}
        self._lock = Lock()

    def read(self, name: str) -> Record:
        return self._records.get(name) or Record(name=name)

    def count_failure(self, name: str, policy: BreakerPolicy, reason: str, now: float) -> Record | None:
        with self._lock:
            record = self.read(name)
            if record.failures >= policy.failures:
                return None
            return self._keep(
                replace(
                    record,
                    failures=record.failures + 1,
                    limit=policy.failures,
                    openings=1,
                    open_until=now + policy.pause_seconds(1),
                    reason=reason,
                    changed_at=now,
                )
            )

    def forget_failures(self, name: str, now: float) -> None:
        with self._lock:
            record = self.read(name)
            if record.failures < record.limit:
                self._close(record, now)

    def take_probe(self, name: str, policy: BreakerPolicy, token: str, now: float) -> Record:
        with self._lock:
            record = self.read(name)
            if record.state(now) is not State.HALF_OPEN or now < record.probe_until:
                return record
            return self._keep(replace(record, probe=token, probe_until=now + policy.probe_lease.total_seconds()))

    def settle(self, name: str, token: str, now: float) -> bool:
        with self._lock:
            record = self.read(name)
            if record.probe != token:
                return False
            self._close(record, now)
            return True

    def open_again(self, held: Record, policy: BreakerPolicy, reason: str, now: float) -> Record | None:
        with self._lock:
            record = self.read(held.name)
            if record.probe != held.probe:
                return None
            openings = record.openings + 1
            until = now + policy.pause_seconds(openings)
            return self._keep(
                replace(record, openings=openings, open_until=until, probe="", probe_until=0.0, reason=reason, changed_at=now)
            )

    def return_probe(self, name: str, token: str, now: float) -> None:
        with self._lock:
            record = self.read(name)
            if record.probe == token:
                self._keep(replace(record, probe="", probe_until=0.0))

    def _close(self, record: Record, now: float) -> None:
        self._keep(Record(name=record.name, limit=record.limit, reason=record.reason, changed_at=now))

    def _keep(self, record: Record) -> Record:
        self._records[record.name] = record
        return record
