"""What the runner expects of a scenario's module."""

from collections.abc import Sequence
from typing import Any, Protocol

from benchmarks.laboratory import Laboratory
from benchmarks.plan import Plan
from benchmarks.reading import Reading
from benchmarks.stacks import Stack


class Scenario(Protocol):
    """A setting is anything whose text tells what it is."""

    NAME: str
    MEASURES_AT_ONCE: bool
    """Whether the stacks may run at the same time. Otherwise each has the machine to itself."""
    IS_REPEATED: bool
    """Whether each round measures it. Otherwise the first does."""

    def settings(self, plan: Plan, /) -> Sequence[Any]: ...

    def concerns(self, setting: Any, stack: Stack, /) -> bool:
        """Whether the stack has what the setting asks for."""

    def measure(self, laboratory: Laboratory, plan: Plan, setting: Any, stacks: Sequence[Stack]) -> list[Reading]: ...
