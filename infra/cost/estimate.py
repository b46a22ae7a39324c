"""Quantities times prices."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta

from app.topology import ScalingPolicy, ServicePolicy, Topology
from app.topology.fargate import ON_DEMAND_WEIGHT
from app.topology.scaling import rules_for
from infra.cost import assumptions as assume
from infra.cost.prices import Item, Prices
from infra.dashboards import dashboards_of
from infra.stages import Stage

_MILLION = 1e6
_GB = 1e9
_MINUTES = assume.HOURS.value * 60


@dataclass(frozen=True, kw_only=True, slots=True)
class CostLine:
    what: str
    item: Item
    quantity: float
    """In the item's unit."""
    usd: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """Of a month."""

    idle: tuple[CostLine, ...]
    """With the copies that are always there, and no job."""
    jobs: tuple[CostLine, ...]
    """What so many jobs add. Runs that the copies that are always there have room for cost no more containers."""
    million: tuple[CostLine, ...]
    """What a million more jobs add when that room is used up."""

    @property
    def usd(self) -> float:
        return total(self.idle) + total(self.jobs)


def total(lines: Iterable[CostLine]) -> float:
    return sum(line.usd for line in lines)


def estimate(topology: Topology, stage: Stage, prices: Prices, *, jobs: float, queue: str) -> Estimate:
    """``jobs`` a month, all of that queue. Raises ``KeyError`` for a queue that there is not."""
    worker = next(service for service in topology.services if topology.queue(queue).name in service.consumes)
    room = _hours_of_room(worker)

    def priced(lines: Iterator[CostLine]) -> tuple[CostLine, ...]:
        return tuple(replace(line, usd=line.quantity * prices[line.item].usd) for line in lines if line.quantity)

    return Estimate(
        idle=priced(_idle(topology, stage)),
        jobs=priced(_for_jobs(worker, stage, jobs, room)),
        million=priced(_for_jobs(worker, stage, _MILLION, 0)),
    )


def _line(what: str, item: Item, quantity: float) -> CostLine:
    return CostLine(what=what, item=item, quantity=quantity, usd=0)


# -- without a job ----------------------------------------------------------------------------------------------------
def _idle(topology: Topology, stage: Stage) -> Iterator[CostLine]:
    copies = {service.name: _copies(service, stage) for service in topology.services}
    for service in topology.services:
        yield from _containers(service, copies[service.name] * assume.HOURS.value, Item.FARGATE_VCPU, Item.FARGATE_GIB)
    yield from _network(stage, sum(copies.values()))
    yield from _database(stage)
    yield from _messages_and_state(topology, stage, copies)
    yield from _watching(topology, stage, copies)


def _copies(service: ServicePolicy, stage: Stage) -> int:
    return stage.web_copies if service.name == "web" else service.steady_copies


def _containers(service: ServicePolicy, hours: float, cpu: Item, memory: Item) -> Iterator[CostLine]:
    yield _line(f"{service.name}: CPU", cpu, hours * service.cpu_units / 1024)
    yield _line(f"{service.name}: memory", memory, hours * service.memory_mib / 1024)


def _network(stage: Stage, copies: int) -> Iterator[CostLine]:
    hours = assume.HOURS.value
    yield _line("load balancer", Item.BALANCER, hours)
    yield _line("load balancer's traffic", Item.BALANCER_UNIT, hours * assume.BALANCER_UNITS.value)
    yield _line("addresses of load balancer and NAT gateways", Item.PUBLIC_ADDRESS, hours * (stage.availability_zones + stage.nat_gateways))
    yield _line("NAT gateways", Item.NAT, hours * stage.nat_gateways)
    yield _line("NAT gateways' traffic", Item.NAT_GB, copies * assume.NAT_GB_IDLE.value)
    if stage.has_interface_endpoints:
        yield _line("interface endpoints", Item.ENDPOINT, hours * assume.ENDPOINTS.value * stage.availability_zones)
    if stage.has_firewall:
        yield _line("firewall", Item.FIREWALL, 1)
        yield _line("firewall's rules", Item.FIREWALL_RULE, assume.FIREWALL_RULES.value)


def _database(stage: Stage) -> Iterator[CostLine]:
    instances = 1 + stage.database_readers
    capacity = max(stage.minimum_acu, assume.LEAST_ACU_AWAKE.value)
    yield _line("database", Item.ACU, assume.HOURS.value * capacity * instances)
    yield _line("database's storage", Item.AURORA_GB, assume.DATABASE_GB.value)
    if stage.has_own_key:
        yield _line("database's key", Item.KEY, 1)


def _messages_and_state(topology: Topology, stage: Stage, copies: dict[str, int]) -> Iterator[CostLine]:
    workers = sum(copies[service.name] for service in topology.services if service.consumes)
    heard_of = sum(copies[service.name] for service in topology.services if service.name != "web")
    scaled = sum(service.scaling is not None for service in topology.services)
    polls = workers * assume.RECEIVES_A_MINUTE.value + scaled * assume.SENSOR_READS_A_MINUTE.value
    yield _line("polls and the sensor of scaling", Item.SQS, polls * _MINUTES / _MILLION)
    yield _line("heartbeats", Item.WRITE, heard_of * assume.HEARTBEATS_A_MINUTE.value * _MINUTES / _MILLION)
    yield _line("remote control", Item.READ, workers * assume.CONTROL_READS_A_MINUTE.value * _MINUTES / 2 / _MILLION)
    yield _line("tables' storage", Item.TABLE_GB, assume.TABLE_GB.value)
    if stage.has_point_in_time_recovery:
        yield _line("tables' recovery", Item.TABLE_BACKUP_GB, assume.TABLE_GB.value)
    yield _line("secrets", Item.SECRET, sum(variable.secret for variable in topology.variables))


def _watching(topology: Topology, stage: Stage, copies: dict[str, int]) -> Iterator[CostLine]:
    measures = sum(len(alarm.measures) for alarm in topology.alarms)
    scaled = [service.scaling for service in topology.services if service.scaling is not None]
    quick, slow = _scaling_alarms(scaled)
    yield _line("alarms", Item.ALARM, measures + slow + 2 * len(scaled) * assume.FALLBACK_ALARM_METRICS.value)
    yield _line("alarms that scale quickly", Item.QUICK_ALARM, quick)
    yield _line("dashboards", Item.DASHBOARD, len(dashboards_of(topology)))
    yield _line("our metrics", Item.METRIC, _own_metrics(topology))
    insights = assume.INSIGHTS_OF_A_CLUSTER.value + len(topology.services) * assume.INSIGHTS_OF_A_SERVICE.value
    if stage.has_enhanced_insights:
        yield _line("Container Insights", Item.INSIGHT, insights + sum(copies.values()) * assume.INSIGHTS_OF_A_COPY.value)
    else:
        yield _line("Container Insights", Item.METRIC, insights)
    yield _line("figures of the sensor", Item.METRIC_REQUEST, assume.SENSOR_READS_A_MINUTE.value * _MINUTES / 1000)
    logged = sum(copies.values()) * assume.LOG_BYTES_A_MINUTE.value * _MINUTES / _GB
    yield from _logs(logged, stage)


def _scaling_alarms(policies: Iterable[ScalingPolicy]) -> tuple[int, int]:
    """Of those on the sensor's figure: how many look more often than once a minute, and how many do not."""
    rules = [rule for policy in policies for rule in rules_for(policy)[:2]]
    quick = sum(rule.period < timedelta(minutes=1) for rule in rules)
    return quick, len(rules) - quick


def _own_metrics(topology: Topology) -> float:
    """Each value that a dimension takes is a metric of its own."""
    workers = sum(bool(service.consumes) for service in topology.services)
    values = {
        ("Deployment",): 1.0,
        ("Deployment", "Breaker"): 1.0,
        ("Deployment", "Queue"): float(len(topology.queues)),
        ("Deployment", "Task", "Queue"): assume.TASKS_IN_USE.value,
        ("Deployment", "Task", "Queue", "Exception"): assume.EXCEPTIONS.value,
        # Relay and beat speak for themselves alone, the others for each worker service: rounded up.
        ("Deployment", "Service"): float(workers),
    }
    return sum(values[names] for metric in topology.metrics for names in metric.dimension_sets)


def _logs(gb: float, stage: Stage) -> Iterator[CostLine]:
    yield _line("log lines", Item.LOG_GB, gb)
    months = stage.log_retention.days * 24 / assume.HOURS.value
    yield _line("log lines that are kept", Item.LOG_STORED_GB, gb * assume.LOG_COPIES_KEPT.value * months)


# -- jobs -------------------------------------------------------------------------------------------------------------
def _hours_of_room(worker: ServicePolicy) -> float:
    """In hours of one copy, what the copies that are always there can do in a month."""
    return worker.steady_copies * assume.HOURS.value


def _for_jobs(worker: ServicePolicy, stage: Stage, jobs: float, room: float) -> Iterator[CostLine]:
    assert worker.scaling is not None  # noqa: S101 — for the type checker: every worker has one
    run_hours = jobs * worker.scaling.expected_run_time.total_seconds() / 3600
    hours = max(run_hours / (worker.slots * assume.BUSY_SHARE.value) - room, 0)
    spot = worker.spot_weight / (worker.spot_weight + ON_DEMAND_WEIGHT)
    yield from _containers(worker, hours * (1 - spot), Item.FARGATE_VCPU, Item.FARGATE_GIB)
    yield from _containers(worker, hours * spot, Item.FARGATE_SPOT_VCPU, Item.FARGATE_SPOT_GIB)
    yield _line("SQS", Item.SQS, jobs * assume.REQUESTS_A_JOB.value / _MILLION)
    yield _line("ledger: writes", Item.WRITE, jobs * assume.WRITE_UNITS_A_JOB.value / _MILLION)
    yield _line("ledger: reads", Item.READ, jobs * assume.READ_UNITS_A_JOB.value / _MILLION)
    kept = jobs * assume.TABLE_BYTES_A_JOB.value * assume.WEEKS_KEPT.value / _GB
    yield _line("ledger: storage", Item.TABLE_GB, kept)
    if stage.has_point_in_time_recovery:
        yield _line("ledger: recovery", Item.TABLE_BACKUP_GB, kept)
    yield _line("database", Item.ACU, jobs * assume.ACU_HOURS_A_MILLION.value / _MILLION)
    yield _line("database's I/O", Item.AURORA_IO, jobs * assume.IO_A_JOB.value / _MILLION)
    yield _line("NAT gateways' traffic", Item.NAT_GB, jobs * assume.NAT_BYTES_A_JOB.value / _GB)
    yield from _logs(jobs * assume.LOG_BYTES_A_JOB.value / _GB, stage)
