"""What one measurement of one stack said."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """Numbers by name, or the reason why there are none. Without numbers one of ``missing`` and ``absent`` says why."""

    scenario: str
    setting: str
    stack: str
    values: Mapping[str, float] = field(default_factory=dict)
    requests: Mapping[str, float] = field(default_factory=dict)
    """AWS requests per task, by operation."""
    missing: str = ""
    """What went wrong."""
    absent: str = ""
    """What this machine has not got: nothing is wrong."""
    round: int = 0
