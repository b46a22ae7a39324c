"""What a saga consists of: declared in code, as values."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from app.engine.sagas.errors import SagaUnknown

Arguments = Callable[[str], Mapping[str, Any]]
"""Makes a task's keyword arguments of the saga's subject. Called once, in the transaction that starts the saga: it may read rows."""
LONGEST_NAME = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One step. Without a ``task`` it is done at once, and exists for its compensation."""

    name: str
    task: str = ""
    compensation: str = ""
    """The task that undoes it; nothing for what needs no undoing. It must do no harm when the step has done nothing."""
    arguments: Arguments | None = None
    """The saga's own, if it has none."""

    def __post_init__(self) -> None:
        if not self.name or len(self.name) > LONGEST_NAME:
            raise ValueError(f"Step {self.name!r}: expected a name of 1 to {LONGEST_NAME} characters.")
        if not (self.task or self.compensation):
            raise ValueError(f"Step {self.name!r}: expected a task, a compensation or both, got neither.")


@dataclass(frozen=True, kw_only=True, slots=True)
class SagaDefinition:
    """Steps in order; those of an inner tuple run side by side, and the next begins when all of them are done."""

    name: str
    steps: tuple[Step | tuple[Step, ...], ...]
    arguments: Arguments
    compensate_for: timedelta = timedelta(days=3)
    """A compensation that fails is tried again for so long. Then the saga is stuck, and a person is needed."""
    first_pause: timedelta = timedelta(seconds=30)
    """Before a failed compensation is tried again; it doubles, up to an hour."""

    def __post_init__(self) -> None:
        app, _, verb = self.name.partition(".")
        if not (app and verb) or len(self.name) > LONGEST_NAME:
            raise ValueError(f"Saga {self.name!r}: expected a name such as 'orders.fulfil'.")
        names = [step.name for group in self.groups for step in group]
        if not names or any(not group for group in self.groups):
            raise ValueError(f"Saga {self.name!r}: expected steps, got none.")
        if len(set(names)) != len(names):
            raise ValueError(f"Saga {self.name!r}: two of its steps have the same name: {', '.join(names)}.")
        if self.first_pause <= timedelta(0):
            raise ValueError(f"Saga {self.name!r}: first_pause: expected more than nothing, got {self.first_pause}.")

    @property
    def groups(self) -> tuple[tuple[Step, ...], ...]:
        return tuple(entry if isinstance(entry, tuple) else (entry,) for entry in self.steps)

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of all tasks that it starts."""
        steps = [step for group in self.groups for step in group]
        return tuple(name for step in steps for name in (step.task, step.compensation) if name)


_declared: dict[str, SagaDefinition] = {}


def declare(definition: SagaDefinition) -> SagaDefinition:
    """Make it known by its name. Raises ``ValueError`` if another one has that name."""
    if _declared.setdefault(definition.name, definition) is not definition:
        raise ValueError(f"Saga {definition.name!r} is declared twice.")
    return definition


def declared() -> tuple[SagaDefinition, ...]:
    return tuple(_declared.values())


def definition_of(name: str) -> SagaDefinition:
    """Raises :class:`~app.engine.sagas.errors.SagaUnknown`."""
    try:
        return _declared[name]
    except KeyError:
        known = ", ".join(sorted(_declared)) or "none"
        raise SagaUnknown(f"No saga is called {name!r}; declared are: {known}. Declare it in the sagas.py of an installed app.") from None
