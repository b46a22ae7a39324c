"""Faults ordered for the next calls of an operation."""

from dataclasses import dataclass, replace
from enum import StrEnum

from scripts.laptop.gateway.messages import Answer, Operation


class Mode(StrEnum):
    """How a request goes wrong; the package's docstring has the table."""

    REFUSE = "refuse"
    TIMEOUT_BEFORE = "timeout_before"
    TIMEOUT_AFTER = "timeout_after"
    ERROR_500_BEFORE = "error_500_before"
    ERROR_500_AFTER = "error_500_after"
    RESET_AFTER = "reset_after"
    SLOW = "slow"


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """Break the next ``times`` requests of an operation."""

    operation: Operation
    mode: Mode
    times: int = 1
    seconds: float = 30.0

    def __post_init__(self) -> None:
        if self.times < 1 or self.seconds < 0:
            raise ValueError(f"expected times >= 1 and seconds >= 0, got {self.times} and {self.seconds}")


class ConnectionCut(ConnectionError):
    """Raised by a fault to end the connection without an answer."""


class Faults:
    """The faults that have not happened yet. Not thread-safe: the gateway's lock is around it."""

    def __init__(self) -> None:
        self._waiting: list[Fault] = []

    def order(self, fault: Fault) -> None:
        """Put a fault behind those already waiting for the same operation."""
        self._waiting.append(fault)

    def clear(self) -> None:
        """Forget them all."""
        self._waiting.clear()

    def take(self, operation: Operation) -> Fault | None:
        """Return the fault that hits this call of the operation, if one does, and count it."""
        for place, fault in enumerate(self._waiting):
            if fault.operation is operation:
                left = [replace(fault, times=fault.times - 1)] if fault.times > 1 else []
                self._waiting[place : place + 1] = left
                return fault
        return None


def internal_error() -> Answer:
    """Return the 500 that a fault answers with."""
    return Answer(
        status=500,
        body={"error": {"type": "api_error", "message": "An error occurred on our side (an ordered fault)."}},
    )
