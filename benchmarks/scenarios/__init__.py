"""What is measured: one module a question."""

from benchmarks.scenarios import endurance, idle, latency, producing, throughput
from benchmarks.scenarios.scenario import Scenario

#: In the order of the report.
SCENARIOS: tuple[Scenario, ...] = (throughput, latency, idle, producing, endurance)

__all__ = ["SCENARIOS", "Scenario"]
