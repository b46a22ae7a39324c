"""The synthesised templates of one stage, and questions to ask them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Template = dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Templates:
    stacks: Mapping[str, Template]
    """By what follows the prefix in the stack's name."""

    @property
    def messaging(self) -> Template:
        return self.stacks["messaging"]

    @property
    def state(self) -> Template:
        return self.stacks["state"]

    @property
    def observability(self) -> Template:
        return self.stacks["observability"]

    @property
    def network(self) -> Template:
        return self.stacks["network"]

    @property
    def database(self) -> Template:
        return self.stacks["database"]

    @property
    def compute(self) -> Template:
        return self.stacks["compute"]

    def all(self) -> tuple[Template, ...]:
        return tuple(self.stacks.values())

    def resources(self, cloudformation_type: str) -> list[Template]:
        """Every resource of that type, in every stack."""
        return [
            resource for template in self.all() for resource in template["Resources"].values() if resource["Type"] == cloudformation_type
        ]

    def properties(self, cloudformation_type: str, name_property: str) -> dict[str, Template]:
        """The properties of every resource of that type, by its physical name."""
        return {resource["Properties"][name_property]: resource["Properties"] for resource in self.resources(cloudformation_type)}

    def statements(self, cloudformation_type: str) -> Iterator[tuple[Template, Template]]:
        """Every policy statement in resources of that type, with the properties it stands in."""
        for resource in self.resources(cloudformation_type):
            for statement in resource["Properties"]["PolicyDocument"]["Statement"]:
                yield resource["Properties"], statement


def differences(one: Any, other: Any, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], tuple[Any, Any]]:
    """Where two JSON values differ: each path with both values."""
    if isinstance(one, dict) and isinstance(other, dict):
        found: dict[tuple[str, ...], tuple[Any, Any]] = {}
        for key in sorted({*one, *other}):
            found |= differences(one.get(key), other.get(key), (*path, str(key)))
        return found
    return {} if one == other else {path: (one, other)}
