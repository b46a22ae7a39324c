"""What a container's environment holds: every variable that has no default is given, and nothing that no one reads."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from app.topology import VariablePolicy

S = TypeVar("S")


class EnvironmentIncomplete(ValueError):
    """The stacks give less, or more, than the application reads."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ContainerEnvironment(Generic[S]):
    """The same for every service but for ``SERVICE``. Secrets are references; their values stand in no template."""

    values: Mapping[str, str]
    secrets: Mapping[str, S]

    def checked(self, variables: Iterable[VariablePolicy]) -> "ContainerEnvironment[S]":
        """Itself. Raises :class:`EnvironmentIncomplete` with every problem."""
        declared = {variable.name: variable for variable in variables}
        problems = [
            f"{name} has no default and is not given"
            for name, variable in declared.items()
            if variable.default is None and name not in {*self.values, *self.secrets}
        ]
        problems += [f"{name} is given and stands not in app/topology/variables.py" for name in {*self.values, *self.secrets} - {*declared}]
        problems += [f"{name} is a secret and is given in the clear" for name in self.values if name in declared and declared[name].secret]
        problems += [f"{name} is no secret and is given as one" for name in self.secrets if name in declared and not declared[name].secret]
        if problems:
            raise EnvironmentIncomplete("The containers' environment is wrong: " + "; ".join(sorted(problems)))
        return self
