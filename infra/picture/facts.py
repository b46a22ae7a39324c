"""What a picture shows, read from the templates of one stage."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Template = Mapping[str, Any]
Properties = Mapping[str, Any]

_SERVICE, _TASK = "AWS::ECS::Service", "AWS::ECS::TaskDefinition"
_TARGET = "AWS::ApplicationAutoScaling::ScalableTarget"
_QUEUE, _TABLE, _BUCKET = "AWS::SQS::Queue", "AWS::DynamoDB::Table", "AWS::S3::Bucket"
#: Who is told where it is.
_DATABASE = "DATABASE_HOST"


@dataclass(frozen=True, kw_only=True, slots=True)
class Process:
    """A service, or a task that runs once."""

    name: str
    least: int
    most: int
    """Copies; 0 of a task that no service runs."""
    cpu_units: int
    memory_mib: int
    on_spot: bool
    is_behind_the_balancer: bool
    knows_the_database: bool
    allowed: frozenset[tuple[str, str]]
    """Actions and the names of what they are allowed on: ``("sqs:SendMessage", "emails")``."""

    def may(self, action: str, target: str) -> bool:
        return (action, target) in self.allowed

    def touches(self, target: str) -> bool:
        return any(name == target for _, name in self.allowed)


@dataclass(frozen=True, kw_only=True, slots=True)
class Queue:
    name: str
    dead_letters: str
    most_receives: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Facts:
    prefix: str
    processes: tuple[Process, ...]
    queues: tuple[Queue, ...]
    tables: tuple[str, ...]
    buckets: tuple[str, ...]
    database: str
    """Version, instances and capacity."""
    counts: Mapping[str, int]
    """How many resources of each type there are in all stacks."""
    stacks: Mapping[str, int]
    """How many resources each stack has."""


def read_facts(templates: Mapping[str, Template], *, prefix: str) -> Facts:
    """``templates`` by the names of their stacks. Raises :class:`KeyError` or :class:`ValueError` where one is not as this app makes it."""
    found = _Stage(templates, prefix)
    queues = tuple(
        Queue(
            name=found.short(each["QueueName"]),
            dead_letters=found.short(
                found.resources[each["RedrivePolicy"]["deadLetterTargetArn"]["Fn::GetAtt"][0]]["Properties"]["QueueName"]
            ),
            most_receives=each["RedrivePolicy"]["maxReceiveCount"],
        )
        for each in found.properties(_QUEUE)
        if "RedrivePolicy" in each
    )
    return Facts(
        prefix=prefix,
        processes=tuple(found.processes()),
        queues=queues,
        tables=tuple(found.short(each["TableName"]) for each in found.properties(_TABLE)),
        buckets=tuple(found.short(each["BucketName"]) for each in found.properties(_BUCKET)),
        database=found.database(),
        counts=found.counts(),
        stacks={name: len(template["Resources"]) for name, template in templates.items()},
    )


class _Stage:
    """All stacks together."""

    def __init__(self, templates: Mapping[str, Template], prefix: str) -> None:
        self._prefix = f"{prefix}-"
        self.resources: dict[str, Any] = {}
        for template in templates.values():
            if shared := self.resources.keys() & template["Resources"].keys():
                raise ValueError(f"two stacks have resources of one logical name: {', '.join(sorted(shared))}")
            self.resources |= template["Resources"]

    def short(self, name: str) -> str:
        return name.removeprefix(self._prefix)

    def properties(self, kind: str) -> Iterator[Properties]:
        return (resource["Properties"] for resource in self.resources.values() if resource["Type"] == kind)

    def counts(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for resource in self.resources.values():
            found[resource["Type"]] = found.get(resource["Type"], 0) + 1
        return found

    def processes(self) -> Iterator[Process]:
        services = {
            resource["Properties"]["TaskDefinition"]["Ref"]: (name, resource["Properties"])
            for name, resource in self.resources.items()
            if resource["Type"] == _SERVICE
        }
        # Of ``service/cluster/name``, the last is a reference to the service.
        scaled = {_text(each["ResourceId"]).rpartition("/")[2]: each for each in self.properties(_TARGET)}
        for name, resource in self.resources.items():
            if resource["Type"] == _TASK:
                service, properties = services.get(name, ("", None))
                yield self._process(resource["Properties"], properties, scaled.get(service))

    def _process(self, task: Properties, service: Properties | None, limits: Properties | None) -> Process:
        wanted = 0 if service is None else service.get("DesiredCount", 0)
        return Process(
            name=self.short(task["Family"]),
            least=wanted if limits is None else limits["MinCapacity"],
            most=wanted if limits is None else limits["MaxCapacity"],
            cpu_units=int(task["Cpu"]),
            memory_mib=int(task["Memory"]),
            on_spot="FARGATE_SPOT" in str((service or {}).get("CapacityProviderStrategy")),
            is_behind_the_balancer=bool((service or {}).get("LoadBalancers")),
            knows_the_database=any(variable["Name"] == _DATABASE for variable in task["ContainerDefinitions"][0]["Environment"]),
            allowed=frozenset(self._allowed(task["TaskRoleArn"]["Fn::GetAtt"][0])),
        )

    def _allowed(self, role: str) -> Iterator[tuple[str, str]]:
        for policy in self.properties("AWS::IAM::Policy"):
            if {"Ref": role} in policy["Roles"]:
                for statement in policy["PolicyDocument"]["Statement"]:
                    for resource in _listed(statement["Resource"]):
                        for action in _listed(statement["Action"]):
                            yield action, self._target(_text(resource))

    def _target(self, arn: str) -> str:
        """The name in ``…:table/millrace-prod-ledger/index/latest`` and ``…:::millrace-prod-files/*``, without the prefix."""
        name = arn.rpartition(":")[2].removeprefix("table/").partition("/")[0]
        return self.short(name)

    def database(self) -> str:
        (cluster,) = self.properties("AWS::RDS::DBCluster")
        instances = sum(1 for _ in self.properties("AWS::RDS::DBInstance"))
        capacity = cluster["ServerlessV2ScalingConfiguration"]
        copies = f"{instances} instances" if instances > 1 else "1 instance"
        return f"{cluster['EngineVersion']}, {copies}, {capacity['MinCapacity']:g} to {capacity['MaxCapacity']:g} ACU"


def _listed(value: Any) -> Iterable[Any]:
    return value if isinstance(value, list) else [value]


def _text(value: Any) -> str:
    """What a string of CloudFormation says, with the names of what it refers to."""
    if isinstance(value, str):
        return value
    if "Fn::Join" in value:
        separator, parts = value["Fn::Join"]
        return str(separator).join(map(_text, parts))
    (reference,) = value.values()
    return str(reference[0] if isinstance(reference, list) else reference)
