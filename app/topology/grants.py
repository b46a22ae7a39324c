"""What a process may do in AWS, in logical names: a role is made of nothing else.

Limit: only what is allowed. Nothing is denied here, and an action that nobody grants is not possible.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from app.topology.errors import TopologyError

_ACTION = re.compile(r"([a-z0-9]+):([A-Z][A-Za-z]+)")


class Kind(Enum):
    """What an action is allowed on. The value is the AWS service whose actions fit."""

    QUEUE = "sqs", "queue"
    DEAD_LETTERS = "sqs", "dead letters of a queue"
    TABLE = "dynamodb", "table"
    INDEX = "dynamodb", "index of a table"
    BUCKET = "s3", "bucket"
    OBJECTS = "s3", "objects of a bucket"
    TASKS = "ecs", "tasks of the cluster"
    SERVICE = "ecs", "service"
    METRICS = "cloudwatch", "metrics of a namespace"
    ANY_METRIC = "cloudwatch", "metrics"
    MAIL = "ses", "mail identity"

    @property
    def aws_service(self) -> str:
        return self.value[0]


#: Of these there is one in a deployment, or AWS knows no resource for the action. They carry no name.
_NAMELESS = frozenset({Kind.TASKS, Kind.ANY_METRIC, Kind.MAIL})
#: The only ones that AWS limits to nothing smaller than the account: it defines no resource for reading metrics.
#: https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazoncloudwatch.html
_WITHOUT_RESOURCE = frozenset({"cloudwatch:GetMetricData"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Resource:
    """One thing, by its logical name: a queue, a table, a bucket, a service, or the namespace of metrics."""

    kind: Kind
    name: str = ""
    inside: str = ""
    """Which index of the table, or where in the bucket its objects lie: ``results/``, or nothing for anywhere."""

    def __post_init__(self) -> None:
        if (self.kind in _NAMELESS) is bool(self.name):
            expected = "no name" if self.kind in _NAMELESS else "a name"
            raise TopologyError(f"Resource {self.kind.name}: name: expected {expected}, got {self.name!r}")
        if (self.kind is Kind.INDEX and not self.inside) or (self.inside and self.kind not in {Kind.INDEX, Kind.OBJECTS}):
            raise TopologyError(
                f"Resource {self.kind.name} {self.name!r}: inside: expected the index of a table, or a folder of a bucket's objects"
            )
        if "*" in self.name + self.inside:
            raise TopologyError(f"Resource {self.kind.name} {self.name!r}: a wildcard grants more than anybody can review")


@dataclass(frozen=True, kw_only=True, slots=True)
class Grant:
    """One thing that a process does, and what it needs for it. Take it away, and the process fails."""

    purpose: str
    actions: tuple[str, ...]
    on: tuple[Resource, ...]

    def __post_init__(self) -> None:
        if not self.purpose or not self.on or not self.actions:
            raise TopologyError(f"Grant {self.purpose!r}: expected a purpose, actions and what they are allowed on")
        for action in self.actions:
            fitting = _ACTION.fullmatch(action)
            if fitting is None:
                raise TopologyError(
                    f"Grant {self.purpose!r}: actions: expected one such as sqs:SendMessage, without wildcards, got {action!r}"
                )
            for resource in self.on:
                if resource.kind.aws_service != fitting[1]:
                    raise TopologyError(f"Grant {self.purpose!r}: {action} is no action on a {resource.kind.value[1]}")
                if (resource.kind is Kind.ANY_METRIC) is not (action in _WITHOUT_RESOURCE):
                    raise TopologyError(f"Grant {self.purpose!r}: {action} and {resource.kind.name} do not fit: AWS limits it otherwise")

    @property
    def sid(self) -> str:
        """Names the statement in the role's policy: ``HoldAndSettleMessages``."""
        return "".join(word[0].upper() + word[1:] for word in re.findall(r"[A-Za-z0-9]+", self.purpose))


def check_grants(owner: str, grants: tuple[Grant, ...], known: Mapping[Kind, frozenset[str]]) -> None:
    """Raise :class:`TopologyError` if a grant names what does not exist, or two have the same purpose.

    ``known`` holds the names of each kind, those of indexes as ``table/index``.
    """
    seen: set[str] = set()
    for grant in grants:
        if grant.sid in seen:
            raise TopologyError(f"{owner}: grants: {grant.purpose!r} stands there twice")
        seen.add(grant.sid)
        for resource in grant.on:
            names = known.get(resource.kind)
            name = f"{resource.name}/{resource.inside}" if resource.kind is Kind.INDEX else resource.name
            if names is not None and name not in names:
                there = ", ".join(sorted(names))
                raise TopologyError(f"{owner}: grants: {grant.purpose!r}: there is no {resource.kind.value[1]} {name!r} among {there}")


def queues(*names: str) -> tuple[Resource, ...]:
    return tuple(Resource(kind=Kind.QUEUE, name=name) for name in names)


def dead_letters(*names: str) -> tuple[Resource, ...]:
    return tuple(Resource(kind=Kind.DEAD_LETTERS, name=name) for name in names)


def table(name: str) -> tuple[Resource, ...]:
    return (Resource(kind=Kind.TABLE, name=name),)


def indexes(table: str, *names: str) -> tuple[Resource, ...]:
    return tuple(Resource(kind=Kind.INDEX, name=table, inside=name) for name in names)


def bucket(name: str) -> tuple[Resource, ...]:
    return (Resource(kind=Kind.BUCKET, name=name),)


def objects(bucket: str, folder: str = "") -> tuple[Resource, ...]:
    return (Resource(kind=Kind.OBJECTS, name=bucket, inside=folder),)


def services(*names: str) -> tuple[Resource, ...]:
    return tuple(Resource(kind=Kind.SERVICE, name=name) for name in names)


def metrics(namespace: str) -> tuple[Resource, ...]:
    return (Resource(kind=Kind.METRICS, name=namespace),)


ANY_METRIC = (Resource(kind=Kind.ANY_METRIC),)
TASKS = (Resource(kind=Kind.TASKS),)
MAIL = (Resource(kind=Kind.MAIL),)
