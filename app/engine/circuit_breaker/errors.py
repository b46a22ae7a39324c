"""What a caller is told whose call may not leave."""

from datetime import timedelta

from app.engine.errors import EngineError


class CircuitOpen(EngineError):
    """The breaker does not let this call through. In a run the job is put off for ``retry_after``, which is no attempt."""

    def __init__(self, name: str, reason: str, retry_after: timedelta) -> None:
        super().__init__(f"{name} is not called for {retry_after.total_seconds():.0f} s: {reason}")
        self.name = name
        self.reason = reason
        self.retry_after = retry_after

    def __reduce__(self) -> tuple[type["CircuitOpen"], tuple[str, str, timedelta]]:
        return type(self), (self.name, self.reason, self.retry_after)
