"""What the roles of a template allow, one grant at a time, beside what was called: what was never used, and what would break without it.

A grant is one action on one resource in one statement, as the deployed role has it, with every name resolved.
"""

import copy
import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Call = dict[str, Any]
Document = dict[str, Any]
_JUDGE = "scripts.rehearsal.emulator.judge"


@dataclass(frozen=True, kw_only=True, slots=True, order=True)
class Grant:
    role: str
    statement: str
    action: str
    resource: str

    def __str__(self) -> str:
        return f"{self.action} on {self.resource.rpartition(':')[2]}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Role:
    """One role with its policies, as deployed."""

    name: str
    policies: Mapping[str, Document]
    """Its own, by their names."""

    @property
    def documents(self) -> tuple[Document, ...]:
        return tuple(self.policies.values())

    def grants(self) -> list[Grant]:
        return [
            Grant(role=self.name, statement=_name(document, position), action=action, resource=resource)
            for document in self.documents
            for position, statement in enumerate(document["Statement"])
            for action in _listed(statement["Action"])
            for resource in _listed(statement["Resource"])
        ]

    def without(self, *taken: Grant) -> "Role":
        """The role without some grants; the other actions and resources of their statements stay."""
        return Role(name=self.name, policies={name: _without(document, set(taken)) for name, document in self.policies.items()})


def deployed_role(iam: Any, name: str) -> Role:
    """The role as it stands in IAM. Raises :class:`ValueError` if policies are attached to it that others may have, too."""
    if attached := iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]:
        raise ValueError(f"{name} has policies that are not its own: {attached}. Grant by app/topology/access.py.")
    names = iam.list_role_policies(RoleName=name)["PolicyNames"]
    return Role(name=name, policies={policy: iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"] for policy in names})


def put_role(iam: Any, role: Role) -> None:
    """Give a role in IAM these policies; they count from the next call on."""
    for name, document in role.policies.items():
        iam.put_role_policy(RoleName=role.name, PolicyName=name, PolicyDocument=json.dumps(document))


class Judge:
    """The emulator's IAM, asked about recorded calls. Each question is policies and calls; each answer the calls that would be denied."""

    def __init__(self, *, repository: Path, packages: Path) -> None:
        self._repository = repository
        self._packages = packages

    def denied(self, questions: Sequence[tuple[Sequence[Document], Sequence[Call]]]) -> list[list[Call]]:
        asked = [{"policies": list(documents), "calls": list(calls)} for documents, calls in questions]
        done = subprocess.run(
            [sys.executable, "-m", _JUDGE],
            input=json.dumps(asked),
            env={"PYTHONPATH": str(self._packages)},
            cwd=self._repository,
            capture_output=True,
            text=True,
            check=True,
        )
        return [
            [calls[position] for position in positions] for (_, calls), positions in zip(questions, json.loads(done.stdout), strict=True)
        ]


def calls_by_role(decisions: Iterable[Call]) -> Mapping[str, list[Call]]:
    """The calls of assumed roles, by the name of the role."""
    found: dict[str, list[Call]] = defaultdict(list)
    for call in decisions:
        if ":assumed-role/" in call["principal"]:
            found[call["principal"].split("/")[1]].append(call)
    return found


def unused(roles: Iterable[Role], calls: Mapping[str, Sequence[Call]], judge: Judge) -> list[Grant]:
    """The grants that no call needed: without any one of them every call that was allowed would still be."""
    grants = [(role, grant) for role in roles for grant in role.grants()]
    allowed = {name: [call for call in made if call["outcome"] == "allowed"] for name, made in calls.items()}
    answers = judge.denied([(role.without(grant).documents, allowed.get(role.name, ())) for role, grant in grants])
    return [grant for (_, grant), denied in zip(grants, answers, strict=True) if not denied]


def misjudged(roles: Iterable[Role], calls: Mapping[str, Sequence[Call]], judge: Judge) -> list[Call]:
    """The calls on which the judge and the emulator do not agree. There must be none, or what the judge says of other policies is worthless."""
    roles = list(roles)
    questions = [(role.documents, calls.get(role.name, ())) for role in roles]
    wrong = []
    for (_, made), denied in zip(questions, judge.denied(questions), strict=True):
        wrong += [call for call in made if (call in denied) is not (call["outcome"] == "denied")]
    return wrong


def _without(document: Document, taken: set[Grant]) -> Document:
    changed = copy.deepcopy(document)
    statements = []
    for position, statement in enumerate(changed["Statement"]):
        name = _name(document, position)
        gone = {(grant.action, grant.resource) for grant in taken if grant.statement == name}
        for action in _listed(statement["Action"]):
            kept = [resource for resource in _listed(statement["Resource"]) if (action, resource) not in gone]
            if kept:
                statements.append({**statement, "Action": [action], "Resource": kept})
    changed["Statement"] = statements
    return changed


def _name(document: Document, position: int) -> str:
    return str(document["Statement"][position].get("Sid", position))


def _listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value
