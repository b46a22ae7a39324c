"""What the emulator cannot, and why: the only ways in which the deployed templates differ from the synthesised ones."""

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scripts.rehearsal.assembly import Assembly, Stack, Template

_NO_SUCH_TYPE = "ministack's CloudFormation does not know the type and refuses the whole template"


class OmissionMissing(RuntimeError):
    """Something that stays refers to something that is left out. The message says what to declare."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Omission:
    """All resources of a type, or one property of them."""

    type: str
    reason: str
    path: str | None = None
    """A dotted path into the properties; ``*`` stands for every entry of a list."""
    only_if: str = ""
    """Words that the resource, written as Python writes it, must hold."""

    stage: str = ""
    """Which stage has such a thing; every one without it."""
    leaves: str | None = None
    """What others get who refer to it. Without this, nobody that stays may refer to it."""

    @property
    def what(self) -> str:
        return f"{self.type}: {self.path}" if self.path else self.type


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)  # itself and no other: what it holds cannot be hashed
class StandIn:
    """A resource of ours whose reference takes the place of an attribute that the emulator does not know."""

    type: str
    attribute: str
    resource: Mapping[str, Any]
    reason: str

    @property
    def what(self) -> str:
        return f"{self.type}: the attribute {self.attribute}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Reference:
    """A type whose ``Ref`` is not what it is in AWS, with the attribute that is."""

    type: str
    attribute: str
    reason: str

    @property
    def what(self) -> str:
        return f"{self.type}: Ref"


@dataclass(frozen=True, kw_only=True, slots=True)
class LeftOut:
    """One resource, or a part of it, that was taken away or replaced."""

    stack: str
    resource: str
    omission: Omission | StandIn | Reference


OMISSIONS: tuple[Omission, ...] = (
    Omission(type="AWS::ApplicationAutoScaling::ScalableTarget", leaves="left-out", reason=_NO_SUCH_TYPE),
    Omission(type="AWS::ApplicationAutoScaling::ScalingPolicy", leaves="arn:aws:autoscaling:::left-out", reason=_NO_SUCH_TYPE),
    Omission(type="AWS::Budgets::Budget", reason=_NO_SUCH_TYPE),
    Omission(type="AWS::EC2::EIP", reason=_NO_SUCH_TYPE),
    Omission(type="AWS::EC2::NatGateway", reason=_NO_SUCH_TYPE),
    Omission(type="AWS::EC2::Route", only_if="NatGatewayId", reason="leads to a NAT gateway, which is left out"),
    Omission(type="AWS::EC2::FlowLog", reason=_NO_SUCH_TYPE),
    Omission(type="AWS::EC2::SecurityGroupEgress", reason=_NO_SUCH_TYPE),
    Omission(type="AWS::EC2::SecurityGroupIngress", reason=_NO_SUCH_TYPE),
    Omission(type="AWS::ECS::ClusterCapacityProviderAssociations", reason=_NO_SUCH_TYPE),
    Omission(type="AWS::WAFv2::WebACLAssociation", stage="prod", reason=_NO_SUCH_TYPE),
    Omission(
        type="AWS::CloudWatch::Alarm",
        only_if="'Metrics':",
        leaves="arn:aws:cloudwatch:::left-out",
        reason="ministack knows no alarms on metric math",
    ),
)

STAND_INS: tuple[StandIn, ...] = (
    StandIn(
        type="AWS::RDS::DBCluster",
        attribute="MasterUserSecret.SecretArn",
        # In the form in which RDS keeps it.
        resource={
            "Type": "AWS::SecretsManager::Secret",
            "Properties": {
                "Name": "rds!cluster-rehearsal",
                "GenerateSecretString": {"SecretStringTemplate": '{"username": "millrace"}', "GenerateStringKey": "password"},
            },
        },
        reason="ministack keeps no password for a cluster; a secret beside it holds one",
    ),
)

REFERENCES: tuple[Reference, ...] = (
    Reference(type="AWS::SecretsManager::Secret", attribute="Id", reason="AWS refers to a secret by its ARN, ministack by its name"),
)

Difference = Omission | StandIn | Reference
DIFFERENCES: tuple[Difference, ...] = (*OMISSIONS, *STAND_INS, *REFERENCES)


def without_omissions(assembly: Assembly, differences: Sequence[Difference] = DIFFERENCES) -> tuple[Assembly, tuple[LeftOut, ...]]:
    """The assembly that the emulator can deploy, and everything that it lacks. Raises :class:`OmissionMissing`."""
    left_out: list[LeftOut] = []
    stacks = []
    for stack in assembly.stacks:
        template, left = _strip(stack, [one for one in differences if isinstance(one, Omission)])
        left_out += left
        left_out += _replace(stack.name, template, [one for one in differences if isinstance(one, StandIn)])
        left_out += _refer(stack.name, template, [one for one in differences if isinstance(one, Reference)])
        stacks.append(Stack(name=stack.name, template=template, is_protected=stack.is_protected))
    return Assembly(stacks=tuple(stacks), files=assembly.files), tuple(left_out)


def unneeded(left_out: Iterable[LeftOut], stage: str, differences: Sequence[Difference] = DIFFERENCES) -> list[Difference]:
    """Those that changed nothing in a stage that should have such a thing: delete them."""
    used = {entry.omission for entry in left_out}
    return [one for one in differences if one not in used and getattr(one, "stage", "") in {"", stage}]


def _strip(stack: Stack, omissions: Sequence[Omission]) -> tuple[Template, list[LeftOut]]:
    template = copy.deepcopy(stack.template)
    resources: dict[str, Any] = template["Resources"]
    left_out: list[LeftOut] = []
    gone: set[str] = set()
    for name, resource in list(resources.items()):
        for omission in omissions:
            if omission.type != resource["Type"] or omission.only_if not in repr(resource):
                continue
            if omission.path is None:
                resources.pop(name, None)
                if omission.leaves is None:
                    gone.add(name)
                else:
                    _leave(template, name, omission.leaves)
            elif not _remove(resource.get("Properties", {}), omission.path.split(".")):
                continue
            left_out.append(LeftOut(stack=stack.name, resource=name, omission=omission))
    for name, resource in resources.items():
        _forget_order(resource, gone)
        if missing := _referred(resource) & gone:
            raise OmissionMissing(
                f"{stack.name}: {name} ({resource['Type']}) refers to {', '.join(sorted(missing))}, which is left out. "
                "Declare in scripts/rehearsal/omissions.py which property of it is left out, too."
            )
    outputs = template.get("Outputs", {})
    for name in [name for name, output in outputs.items() if _referred(output) & gone]:
        del outputs[name]
    return template, left_out


def _replace(stack: str, template: Template, stand_ins: Sequence[StandIn]) -> list[LeftOut]:
    resources: dict[str, Any] = template["Resources"]
    found = []
    for name, resource in list(resources.items()):
        for stand_in in stand_ins:
            own = f"{name}StandIn"
            if resource["Type"] == stand_in.type and _point_elsewhere(template, {"Fn::GetAtt": [name, stand_in.attribute]}, {"Ref": own}):
                resources[own] = stand_in.resource
                found.append(LeftOut(stack=stack, resource=name, omission=stand_in))
    return found


def _refer(stack: str, template: Template, references: Sequence[Reference]) -> list[LeftOut]:
    return [
        LeftOut(stack=stack, resource=name, omission=reference)
        for name, resource in template["Resources"].items()
        for reference in references
        if resource["Type"] == reference.type and _point_elsewhere(template, {"Ref": name}, {"Fn::GetAtt": [name, reference.attribute]})
    ]


def _point_elsewhere(place: Any, old: dict[str, Any], new: dict[str, Any]) -> bool:
    entries = list(place.items() if isinstance(place, dict) else enumerate(place) if isinstance(place, list) else ())
    changed = False
    for key, value in entries:
        if value == old:
            place[key] = new
            changed = True
        else:
            changed = _point_elsewhere(value, old, new) or changed
    return changed


def _leave(place: Any, name: str, words: str) -> None:
    """Put words in the place of every reference to a resource."""
    for key, value in list(place.items() if isinstance(place, dict) else enumerate(place) if isinstance(place, list) else ()):
        if isinstance(value, dict) and len(value) == 1 and _names_itself(value, name):
            place[key] = words
        else:
            _leave(value, name, words)


def _names_itself(value: dict[str, Any], name: str) -> bool:
    """A reference, and not something that holds one."""
    target = value.get("Ref") or (value.get("Fn::GetAtt") or [""])[0]
    return bool(target == name)


def _remove(place: Any, path: list[str]) -> bool:
    step, *rest = path
    if step == "*":
        # All of them: any() alone would stop at the first.
        removed = [_remove(entry, rest) for entry in place] if isinstance(place, list) else []
        return any(removed)
    if not isinstance(place, dict) or step not in place:
        return False
    if rest:
        return _remove(place[step], rest)
    del place[step]
    return True


def _forget_order(resource: dict[str, Any], gone: set[str]) -> None:
    wanted = resource.get("DependsOn", [])
    kept = [name for name in ([wanted] if isinstance(wanted, str) else wanted) if name not in gone]
    if kept:
        resource["DependsOn"] = kept
    else:
        resource.pop("DependsOn", None)


def _referred(value: Any) -> set[str]:
    """The logical ids that a part of a template names."""
    if isinstance(value, list):
        return {name for entry in value for name in _referred(entry)}
    if not isinstance(value, dict):
        return set()
    found = {name for entry in value.values() for name in _referred(entry)}
    if isinstance(target := value.get("Ref"), str):
        found.add(target)
    if target := value.get("Fn::GetAtt"):
        found.add(target[0] if isinstance(target, list) else target.partition(".")[0])
    return found
