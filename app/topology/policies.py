"""The vocabulary of what exists: frozen values that refuse what AWS would refuse.

Every policy checks itself when it is made, and :class:`Topology` checks that they fit together. A problem is a
:class:`~app.topology.errors.TopologyError` that names the policy, the field and the way out, at import, in every
process, so that nothing wrong is ever deployed or started.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import TypeVar

from app.topology.errors import TopologyError
from app.topology.fargate import MOST_WEIGHT, problem_of_size
from app.topology.grants import Grant, Kind, check_grants
from app.topology.naming import DEAD_LETTERS_SUFFIX
from app.topology.scaling import MOST_COPIES, ScalingPolicy

#: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-queues.html
LONGEST_VISIBILITY = timedelta(hours=12)
SHORTEST_RETENTION = timedelta(minutes=1)
LONGEST_RETENTION = timedelta(days=14)
LONGEST_QUEUE_NAME = 80
#: The prefix may take 32 characters and a dash (see naming.check_prefix).
LONGEST_LOGICAL_NAME = LONGEST_QUEUE_NAME - 33 - len(DEAD_LETTERS_SUFFIX)
#: https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html: 63 with the prefix and a dash.
LONGEST_BUCKET_NAME = 63 - 33
#: The heartbeat renews at a third of the visibility timeout; below this a single slow request would lose the lease.
SHORTEST_VISIBILITY = timedelta(seconds=15)
#: Fargate kills a container this long after SIGTERM at the latest.
LONGEST_STOP_TIMEOUT = timedelta(seconds=120)
#: https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_HealthCheck.html
LONGEST_START_PERIOD = timedelta(minutes=5)
#: A custom resource of CloudFormation waits no longer.
LONGEST_HOLD_UP = timedelta(hours=1)
#: What runs longer is a service, or was forgotten.
LONGEST_ONE_OFF = timedelta(days=1)
MOST_RECEIVES = 1000
HEAVIEST_QUEUE = 1000
#: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ServiceQuotas.html
MOST_INDEXES = 20
#: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch_limits.html
MOST_DIMENSIONS = 30
#: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/Create-alarm-on-metric-math-expression.html
MOST_MEASURES = 10

_LOGICAL_NAME = re.compile(r"[a-z][a-z0-9_-]*")
_ENVIRONMENT_NAME = re.compile(r"[A-Z][A-Z0-9_]*")


def _refuse(owner: object, name: str, field_name: str, problem: str) -> TopologyError:
    return TopologyError(f"{type(owner).__name__} {name!r}: {field_name}: {problem}")


def _check_logical_name(owner: object, name: str) -> None:
    if not _LOGICAL_NAME.fullmatch(name) or len(name) > LONGEST_LOGICAL_NAME:
        raise _refuse(
            owner,
            name,
            "name",
            f"expected at most {LONGEST_LOGICAL_NAME} lower-case letters, digits, dashes and underscores, beginning with a letter",
        )


def _check_size(owner: object, name: str, cpu_units: int, memory_mib: int) -> None:
    if problem := problem_of_size(cpu_units, memory_mib):
        raise TopologyError(f"{type(owner).__name__} {name!r}: {problem}")


def _check_sequence(owner: object, name: str, field_name: str, value: object) -> None:
    """A forgotten comma makes a string of a tuple, and a string is a sequence of letters."""
    if isinstance(value, str):
        raise _refuse(owner, name, field_name, f"expected a tuple, got the string {value!r}; is there a comma missing: ({value!r},)?")


def _check_number(owner: object, name: str, field_name: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise _refuse(owner, name, field_name, f"expected {low} to {high}, got {value}")


def _check_range(owner: object, name: str, field_name: str, value: timedelta, low: timedelta, high: timedelta) -> None:
    if not low <= value <= high:
        raise _refuse(owner, name, field_name, f"expected {low} to {high}, got {value}")


@dataclass(frozen=True, kw_only=True, slots=True)
class QueuePolicy:
    """One queue, its dead-letter queue, and which tasks travel there.

    ``visibility_timeout`` is how soon a crash is noticed: a heartbeat extends it for as long as a worker lives and
    holds the message. ``time_limit`` is the longest run. The first is short, the second may be long.
    """

    name: str
    purpose: str
    routes: tuple[str, ...]
    """Patterns of task names (``payments.*``). The longest pattern that fits decides."""
    soft_time_limit: timedelta = timedelta(minutes=25)
    """The run gets ``SoftTimeLimitExceeded`` and may save its work."""
    time_limit: timedelta = timedelta(minutes=30)
    """The run is killed. Tasks may ask for less than this, never for more."""
    visibility_timeout: timedelta = timedelta(seconds=60)
    max_receive_count: int = 5
    """Deliveries before SQS moves the message to the dead letters. Crashes and graceful stops count, retries do not."""
    weight: int = 1
    """Its share of a worker that serves several queues."""
    retention: timedelta = timedelta(days=4)
    dead_letter_retention: timedelta = timedelta(days=14)
    alarm_age: timedelta = timedelta(minutes=5)
    """The oldest message that wakes nobody."""

    def __post_init__(self) -> None:
        _check_logical_name(self, self.name)
        if self.name.endswith(DEAD_LETTERS_SUFFIX):
            raise _refuse(self, self.name, "name", f"may not end in {DEAD_LETTERS_SUFFIX!r}: every queue gets such a twin")
        _check_sequence(self, self.name, "routes", self.routes)
        if not self.routes or not all(self.routes):
            raise _refuse(self, self.name, "routes", "expected at least one pattern such as 'payments.*'; without one no task travels here")
        _check_range(self, self.name, "visibility_timeout", self.visibility_timeout, SHORTEST_VISIBILITY, LONGEST_VISIBILITY)
        if self.visibility_timeout.microseconds or self.visibility_timeout.total_seconds() % 1:
            raise _refuse(self, self.name, "visibility_timeout", f"SQS counts whole seconds, got {self.visibility_timeout}")
        if self.time_limit <= timedelta(0):
            raise _refuse(self, self.name, "time_limit", f"expected a positive duration, got {self.time_limit}")
        if not timedelta(0) < self.soft_time_limit < self.time_limit:
            raise _refuse(
                self, self.name, "soft_time_limit", f"expected less than time_limit ({self.time_limit}), got {self.soft_time_limit}"
            )
        if self.visibility_timeout > self.time_limit:
            raise _refuse(
                self,
                self.name,
                "visibility_timeout",
                f"{self.visibility_timeout} is longer than time_limit ({self.time_limit}): a crash would be noticed after the longest run "
                "has ended. Shorten it; the heartbeat extends it while a worker is alive",
            )
        if self.time_limit + self.visibility_timeout > LONGEST_VISIBILITY:
            raise _refuse(
                self,
                self.name,
                "time_limit",
                f"{self.time_limit} and visibility_timeout ({self.visibility_timeout}) exceed the {LONGEST_VISIBILITY} for which SQS lets a "
                "message be held. Split the work into shorter tasks that checkpoint",
            )
        _check_number(self, self.name, "max_receive_count", self.max_receive_count, 1, MOST_RECEIVES)
        _check_number(self, self.name, "weight", self.weight, 1, HEAVIEST_QUEUE)
        _check_range(self, self.name, "retention", self.retention, SHORTEST_RETENTION, LONGEST_RETENTION)
        _check_range(self, self.name, "dead_letter_retention", self.dead_letter_retention, self.retention, LONGEST_RETENTION)
        if not timedelta(0) < self.alarm_age < self.retention:
            raise _refuse(
                self,
                self.name,
                "alarm_age",
                f"expected less than retention ({self.retention}), or nobody would ever be told, got {self.alarm_age}",
            )


class KeyType(StrEnum):
    STRING = "S"
    NUMBER = "N"


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyAttribute:
    name: str
    type: KeyType = KeyType.STRING


@dataclass(frozen=True, kw_only=True, slots=True)
class IndexPolicy:
    """A global secondary index. Sparse: an item without the key attributes is not in it and costs nothing there."""

    name: str
    partition_key: KeyAttribute
    sort_key: KeyAttribute
    projected: tuple[str, ...]
    """The attributes that a reader of the index gets besides the keys."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TablePolicy:
    """One DynamoDB table, paid per request. Every item carries ``ttl_attribute`` and leaves by itself."""

    name: str
    purpose: str
    partition_key: KeyAttribute
    sort_key: KeyAttribute | None = None
    """Orders the items of one partition key. Without it there is one item a partition key."""
    ttl_attribute: str
    indexes: tuple[IndexPolicy, ...] = ()

    def __post_init__(self) -> None:
        _check_logical_name(self, self.name)
        if len(self.indexes) > MOST_INDEXES:
            raise _refuse(self, self.name, "indexes", f"DynamoDB allows {MOST_INDEXES}, got {len(self.indexes)}")
        _check_unique(self, self.name, "indexes", (index.name for index in self.indexes))
        if self.sort_key is not None and self.sort_key.name == self.partition_key.name:
            raise _refuse(self, self.name, "sort_key", f"{self.sort_key.name!r} is the partition key already")
        types: dict[str, KeyType] = {}
        for key in self.key_attributes():
            if types.setdefault(key.name, key.type) is not key.type:
                raise _refuse(self, self.name, "indexes", f"attribute {key.name!r} is declared as S and as N")
        if self.ttl_attribute in types:
            raise _refuse(self, self.name, "ttl_attribute", f"{self.ttl_attribute!r} is a key; DynamoDB wants a plain number")

    def index(self, name: str) -> IndexPolicy:
        """Raises :class:`KeyError`."""
        return {index.name: index for index in self.indexes}[name]

    def key_attributes(self) -> tuple[KeyAttribute, ...]:
        """Every attribute that is a key somewhere, once, in a stable order."""
        keys = [self.partition_key, *((self.sort_key,) if self.sort_key else ())]
        for index in self.indexes:
            keys += [index.partition_key, index.sort_key]
        return tuple(dict.fromkeys(keys))


LONGEST_UPLOAD = timedelta(days=7)


@dataclass(frozen=True, kw_only=True, slots=True)
class BucketPolicy:
    """One private, encrypted S3 bucket. Its objects expire after ``expire_after``; without one they stay."""

    name: str
    purpose: str
    expire_after: timedelta | None = None

    def __post_init__(self) -> None:
        _check_logical_name(self, self.name)
        if "_" in self.name or self.name.endswith("-") or len(self.name) > LONGEST_BUCKET_NAME:
            raise _refuse(
                self,
                self.name,
                "name",
                f"S3 expects at most {LONGEST_BUCKET_NAME} characters after the prefix, no underscore, a letter or digit at the end",
            )
        if self.expire_after is not None and (self.expire_after < timedelta(days=1) or self.expire_after % timedelta(days=1)):
            raise _refuse(self, self.name, "expire_after", f"S3 counts whole days, got {self.expire_after}")

    @property
    def unfinished_uploads_expire_after(self) -> timedelta:
        """Their parts cost as much as objects and are shown to nobody."""
        return min(self.expire_after or LONGEST_UPLOAD, LONGEST_UPLOAD)


@dataclass(frozen=True, kw_only=True, slots=True)
class HttpHealth:
    """Healthy while this path answers 200 within the time-out."""

    path: str
    timeout: timedelta = timedelta(seconds=5)


@dataclass(frozen=True, kw_only=True, slots=True)
class PulseHealth:
    """Healthy while the service has touched its pulse file within ``max_age``.

    The file is touched by the loop that does the work, so a process that is alive but deaf is unhealthy.
    """

    max_age: timedelta = timedelta(seconds=60)


@dataclass(frozen=True, kw_only=True, slots=True)
class ServicePolicy:
    """One long-running process: the same command in ECS and on a laptop."""

    name: str
    purpose: str
    command: tuple[str, ...]
    health: HttpHealth | PulseHealth
    consumes: tuple[str, ...] = ()
    """Names of the queues it receives from."""
    singleton: bool = False
    """One copy is enough; more are safe, and idle (beat)."""
    stop_timeout: timedelta = timedelta(seconds=30)
    """From SIGTERM to SIGKILL."""
    slots: int = 0
    """Jobs that one copy runs at a time."""
    scaling: ScalingPolicy | None = None
    """How the number of copies follows the queue. Without one it stays as it was deployed."""
    copies: int = 1
    """How many run where nothing scales it. A stage may want more of the web."""
    cpu_units: int = 256
    """1024 are one processor."""
    memory_mib: int = 512
    spot_weight: int = 0
    """Beyond those that are always there: copies on interruptible capacity for each one that is not. 0: none may be interrupted."""
    start_period: timedelta = timedelta(seconds=60)
    """From the start; an unhealthy answer does not count so early."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """Of the environment, where this service wants something else than the default."""
    grants: tuple[Grant, ...] = ()
    """What it does in AWS, and so all that it may do there."""

    def __post_init__(self) -> None:
        _check_logical_name(self, self.name)
        if not self.command:
            raise _refuse(self, self.name, "command", "expected the program and its arguments, got nothing")
        _check_sequence(self, self.name, "command", self.command)
        _check_sequence(self, self.name, "consumes", self.consumes)
        _check_unique(self, self.name, "consumes", self.consumes)
        if self.slots < 0 or bool(self.slots) is not bool(self.consumes):
            raise _refuse(
                self, self.name, "slots", f"expected 1 or more of a service that consumes queues, and 0 of another, got {self.slots}"
            )
        if self.scaling is not None and (len(self.consumes) != 1 or self.singleton):
            raise _refuse(
                self, self.name, "scaling", "expected a service of one queue and of many copies: its backlog says how many it needs"
            )
        _check_range(self, self.name, "stop_timeout", self.stop_timeout, timedelta(seconds=1), LONGEST_STOP_TIMEOUT)
        _check_range(self, self.name, "start_period", self.start_period, timedelta(0), LONGEST_START_PERIOD)
        _check_number(self, self.name, "copies", self.copies, 1, 1 if self.singleton else MOST_COPIES)
        _check_number(self, self.name, "spot_weight", self.spot_weight, 0, 0 if self.singleton else MOST_WEIGHT)
        _check_size(self, self.name, self.cpu_units, self.memory_mib)

    @property
    def steady_copies(self) -> int:
        """How many are always there: those are never on interruptible capacity."""
        return self.copies if self.scaling is None else self.scaling.minimum

    @property
    def healthy_percent(self) -> tuple[int, int]:
        """Of the wanted copies, how few and how many may run during a deployment. Of a singleton the old one goes first."""
        return (0, 100) if self.singleton else (100, 200)


@dataclass(frozen=True, kw_only=True, slots=True)
class OneOffPolicy:
    """A process that does one thing and ends: exit code 0, or what waits for it does not happen."""

    name: str
    purpose: str
    command: tuple[str, ...]
    time_limit: timedelta
    holds_up_deployment: bool = False
    """Whether CloudFormation waits for its end before it goes on."""
    asked_every: timedelta = timedelta(seconds=10)
    """How soon whoever waits for it sees that it has ended."""
    stop_timeout: timedelta = timedelta(seconds=30)
    """From SIGTERM to SIGKILL."""
    keeps_every_line: bool = False
    """Whether it waits for a CloudWatch that is slow, rather than lose a line."""
    cpu_units: int = 512
    memory_mib: int = 1024
    grants: tuple[Grant, ...] = ()

    def __post_init__(self) -> None:
        _check_logical_name(self, self.name)
        _check_sequence(self, self.name, "command", self.command)
        if not self.command:
            raise _refuse(self, self.name, "command", "expected the program and its arguments, got nothing")
        longest = LONGEST_HOLD_UP if self.holds_up_deployment else LONGEST_ONE_OFF
        _check_range(self, self.name, "time_limit", self.time_limit, self.asked_every, longest)
        _check_range(self, self.name, "stop_timeout", self.stop_timeout, timedelta(seconds=1), LONGEST_STOP_TIMEOUT)
        _check_size(self, self.name, self.cpu_units, self.memory_mib)


@dataclass(frozen=True, kw_only=True, slots=True)
class VariablePolicy:
    """One environment variable that the application reads. ``default=None`` means that the start fails without it."""

    name: str
    purpose: str
    default: str | None = None
    secret: bool = False

    def __post_init__(self) -> None:
        if not _ENVIRONMENT_NAME.fullmatch(self.name):
            raise _refuse(self, self.name, "name", "expected capitals, digits and underscores")
        if self.secret and self.default:
            raise _refuse(self, self.name, "default", "a secret has no default: it would stand in the code")


class MetricUnit(StrEnum):
    COUNT = "Count"
    MILLISECONDS = "Milliseconds"
    SECONDS = "Seconds"
    PERCENT = "Percent"
    BYTES = "Bytes"


OWN_NAMESPACE = "Millrace"


@dataclass(frozen=True, kw_only=True, slots=True)
class MetricPolicy:
    """One metric: ours, which we publish in the embedded metric format, or one of another namespace, which AWS publishes."""

    name: str
    purpose: str
    unit: MetricUnit
    dimensions: tuple[str, ...]
    other_dimensions: tuple[tuple[str, ...], ...] = ()
    """More sets of dimensions under which the same figures stand: CloudWatch adds nothing up by itself, percentiles least of all."""
    namespace: str = OWN_NAMESPACE

    def __post_init__(self) -> None:
        for names in self.dimension_sets:
            if len(names) > MOST_DIMENSIONS:
                raise _refuse(self, self.name, "dimensions", f"CloudWatch allows {MOST_DIMENSIONS}, got {len(names)}")
        if self.namespace == OWN_NAMESPACE and not {name for names in self.other_dimensions for name in names} <= {*self.dimensions}:
            raise _refuse(
                self, self.name, "other_dimensions", f"expected some of {', '.join(self.dimensions)}: a line holds no other values"
            )

    @property
    def dimension_sets(self) -> tuple[tuple[str, ...], ...]:
        return (self.dimensions, *self.other_dimensions)


#: What stands in braces in a measure's dimensions; whoever deploys knows it. The last two are made up by AWS at deployment.
PLACEHOLDERS = frozenset({"prefix", "load_balancer", "target_group"})

_STATISTIC = re.compile(r"Sum|Average|Minimum|Maximum|SampleCount|p\d{1,2}(\.\d+)?")
_MEASURE_NAME = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True, kw_only=True, slots=True)
class Measure:
    """What CloudWatch is asked for: one statistic of one metric. It must be published under exactly these dimensions, or nothing is found."""

    metric: MetricPolicy
    statistic: str
    dimensions: Mapping[str, str]
    """Values may hold names in braces, those of ``PLACEHOLDERS``."""

    def __post_init__(self) -> None:
        if not any({*names} == {*self.dimensions} for names in self.metric.dimension_sets):
            known = " or ".join(", ".join(names) for names in self.metric.dimension_sets)
            raise _refuse(self, self.metric.name, "dimensions", f"it is published by {known}; got {', '.join(self.dimensions) or 'none'}")
        if not _STATISTIC.fullmatch(self.statistic):
            raise _refuse(self, self.metric.name, "statistic", f"expected one such as Sum, Maximum or p95, got {self.statistic!r}")
        unknown = {name for value in self.dimensions.values() for name in re.findall(r"{(\w*)}", value)} - PLACEHOLDERS
        if unknown:
            raise _refuse(self, self.metric.name, "dimensions", f"nobody knows {unknown}; known are {', '.join(sorted(PLACEHOLDERS))}")


class Comparison(StrEnum):
    AT_LEAST = "≥"
    BELOW = "<"


@dataclass(frozen=True, kw_only=True, slots=True)
class AlarmPolicy:
    """What wakes a person: a figure on the wrong side of ``threshold`` for ``evaluation_periods`` periods in a row."""

    name: str
    purpose: str
    measures: Mapping[str, Measure]
    """By the name under which ``expression`` knows them. With a single one there need be no expression."""
    expression: str = ""
    """Metric math over several measures, such as ``wanted - running``."""
    comparison: Comparison = Comparison.AT_LEAST
    threshold: float
    reason: str
    """Why this threshold and this long: whoever wants another should know what it was for."""
    runbook: str
    """A page under ``docs/runbooks`` that exists."""
    period: timedelta = timedelta(minutes=1)
    evaluation_periods: int = 1
    is_silence_bad: bool = False
    """Whether no data rings too. SQS publishes nothing for a queue that has been idle for hours, so mostly it must not."""

    def __post_init__(self) -> None:
        _check_logical_name(self, self.name)
        seconds = self.period.total_seconds()
        if seconds not in (10, 20, 30) and (seconds < 60 or seconds % 60):  # noqa: PLR2004 — CloudWatch's own
            raise _refuse(self, self.name, "period", f"CloudWatch knows 10, 20, 30 seconds and whole minutes, got {self.period}")
        if self.evaluation_periods < 1:
            raise _refuse(self, self.name, "evaluation_periods", f"expected 1 or more, got {self.evaluation_periods}")
        if self.threshold <= 0:
            raise _refuse(self, self.name, "threshold", f"expected a positive number, or it rings for ever, got {self.threshold}")
        if not 1 <= len(self.measures) <= MOST_MEASURES:
            raise _refuse(self, self.name, "measures", f"expected 1 to {MOST_MEASURES}, got {len(self.measures)}")
        for name in self.measures:
            if not _MEASURE_NAME.fullmatch(name):
                raise _refuse(self, self.name, "measures", f"CloudWatch expects a name of lower-case letters, digits and _, got {name!r}")
        if self.expression or len(self.measures) > 1:
            missing = {*self.measures} - {*re.findall(r"\w+", self.expression)}
            if missing:
                raise _refuse(
                    self, self.name, "expression", f"expected metric math over all measures; it lacks {', '.join(sorted(missing))}"
                )

    def reads(self, metric: MetricPolicy) -> bool:
        return any(measure.metric == metric for measure in self.measures.values())


@dataclass(frozen=True, kw_only=True, slots=True)
class Topology:
    """Everything that exists, checked as a whole."""

    queues: tuple[QueuePolicy, ...]
    tables: tuple[TablePolicy, ...]
    buckets: tuple[BucketPolicy, ...]
    services: tuple[ServicePolicy, ...]
    variables: tuple[VariablePolicy, ...]
    metrics: tuple[MetricPolicy, ...]
    alarms: tuple[AlarmPolicy, ...]
    one_offs: tuple[OneOffPolicy, ...] = ()

    def __post_init__(self) -> None:
        for kind in ("queues", "tables", "buckets", "services", "variables", "metrics", "alarms", "one_offs"):
            _check_unique(self, "as a whole", kind, (policy.name for policy in getattr(self, kind)))
        _check_unique(self, "as a whole", "routes", (route for queue in self.queues for route in queue.routes))
        known = {queue.name for queue in self.queues}
        consumed = {name for service in self.services for name in service.consumes}
        for service in self.services:
            for name in service.consumes:
                if name not in known:
                    raise _refuse(
                        service, service.name, "consumes", f"there is no queue {name!r}; the queues are {', '.join(sorted(known))}"
                    )
            for name in sorted({*service.variables} - {variable.name for variable in self.variables if not variable.secret}):
                raise _refuse(service, service.name, "variables", f"there is no variable {name!r} that may stand in a template")
            if service.scaling is not None:
                _check_goal(service, service.scaling, self.queue(service.consumes[0]))
        for queue in self.queues:
            if queue.name not in consumed:
                raise _refuse(
                    queue,
                    queue.name,
                    "name",
                    "no service consumes this queue: its jobs would wait for ever. Add it to a service in app/topology/services.py",
                )

        processes: tuple[ServicePolicy | OneOffPolicy, ...] = (*self.services, *self.one_offs)
        for process in processes:
            check_grants(f"{type(process).__name__} {process.name!r}", process.grants, self._grantable())

    def _grantable(self) -> dict[Kind, frozenset[str]]:
        queues = frozenset(queue.name for queue in self.queues)
        buckets = frozenset(bucket.name for bucket in self.buckets)
        return {
            Kind.QUEUE: queues,
            Kind.DEAD_LETTERS: queues,
            Kind.TABLE: frozenset(table.name for table in self.tables),
            Kind.INDEX: frozenset(f"{table.name}/{index.name}" for table in self.tables for index in table.indexes),
            Kind.BUCKET: buckets,
            Kind.OBJECTS: buckets,
            Kind.SERVICE: frozenset(service.name for service in self.services),
            Kind.METRICS: frozenset({OWN_NAMESPACE}),
        }

    def queue(self, name: str) -> QueuePolicy:
        """The queue of that logical name. Raises :class:`KeyError`."""
        return _by_name(self.queues, name)

    def table(self, name: str) -> TablePolicy:
        return _by_name(self.tables, name)

    def service(self, name: str) -> ServicePolicy:
        return _by_name(self.services, name)

    def one_off(self, name: str) -> OneOffPolicy:
        return _by_name(self.one_offs, name)

    def metric(self, name: str) -> MetricPolicy:
        return _by_name(self.metrics, name)

    def queue_for(self, task_name: str) -> QueuePolicy | None:
        """The queue that carries this task: the longest pattern that fits, or ``None`` if none does."""
        fitting = [(len(route), queue) for queue in self.queues for route in queue.routes if fnmatchcase(task_name, route)]
        return max(fitting, key=lambda pair: pair[0])[1] if fitting else None


P = TypeVar("P", QueuePolicy, TablePolicy, ServicePolicy, MetricPolicy, OneOffPolicy)


def _by_name(policies: tuple[P, ...], name: str) -> P:
    for policy in policies:
        if policy.name == name:
            return policy
    raise KeyError(f"{name!r} is not among {', '.join(policy.name for policy in policies)}")


def _check_goal(service: ServicePolicy, scaling: ScalingPolicy, queue: QueuePolicy) -> None:
    if scaling.wait_goal > queue.alarm_age:
        raise _refuse(
            service,
            service.name,
            "scaling",
            f"wait_goal ({scaling.wait_goal}) is longer than alarm_age of {queue.name} ({queue.alarm_age}): people would be woken by "
            "what is meant to be",
        )
    if scaling.expected_run_time > queue.time_limit:
        raise _refuse(
            service,
            service.name,
            "scaling",
            f"expected_run_time ({scaling.expected_run_time}) is longer than time_limit of {queue.name} ({queue.time_limit})",
        )


def _check_unique(owner: object, name: str, field_name: str, values: Iterable[str]) -> None:
    seen: set[str] = set()
    for value in values:
        if value in seen:
            raise _refuse(owner, name, field_name, f"{value!r} stands there twice")
        seen.add(value)
