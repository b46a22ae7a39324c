"""What wakes a person: jobs that wait, jobs that died, and what they cannot go on without. What heals by itself wakes nobody."""

from collections.abc import Iterable
from datetime import timedelta

from app.topology import aws_metrics, metrics
from app.topology.naming import cluster_name, database_identifier, dead_letter_queue_name, queue_name, service_name, table_name
from app.topology.policies import AlarmPolicy, Comparison, Measure, MetricPolicy, QueuePolicy, ServicePolicy, TablePolicy
from app.topology.services import BEAT, OUTBOX_RELAY

_PREFIX = "{prefix}"


def _oldest_message(queue: QueuePolicy) -> AlarmPolicy:
    return AlarmPolicy(
        name=f"{queue.name}-oldest-message",
        purpose=f"A job has been waiting in {queue.name} for {queue.alarm_age // timedelta(minutes=1)} minutes.",
        measures={
            "age": Measure(
                metric=aws_metrics.SQS_OLDEST_AGE, statistic="Maximum", dimensions={"QueueName": queue_name(_PREFIX, queue.name)}
            )
        },
        threshold=queue.alarm_age.total_seconds(),
        reason="The queue's alarm_age: how long its jobs may wait before somebody minds. Twice, for SQS publishes once a minute.",
        evaluation_periods=2,
        runbook="oldest-message.md",
    )


def _dead_letters(queue: QueuePolicy) -> AlarmPolicy:
    return AlarmPolicy(
        name=f"{queue.name}-dead-letters",
        purpose=f"Messages of {queue.name} were delivered {queue.max_receive_count} times without success.",
        measures={
            # Visible, not sent: NumberOfMessagesSent does not count what the redrive policy moves.
            "dead": Measure(
                metric=aws_metrics.SQS_VISIBLE,
                statistic="Maximum",
                dimensions={"QueueName": dead_letter_queue_name(_PREFIX, queue.name)},
            )
        },
        threshold=1,
        reason="Each is a job that will not be done unless a person decides. What heals by itself never gets here.",
        runbook="dead-letters.md",
    )


def _absent(service: ServicePolicy) -> AlarmPolicy:
    dimensions = {"ClusterName": cluster_name(_PREFIX), "ServiceName": service_name(_PREFIX, service.name)}
    return AlarmPolicy(
        name=f"{service.name}-absent",
        purpose=f"Copies of {service.name} are wanted, and none runs: its jobs wait.",
        measures={
            "wanted": Measure(metric=aws_metrics.ECS_DESIRED, statistic="Minimum", dimensions=dimensions),
            "running": Measure(metric=aws_metrics.ECS_RUNNING, statistic="Maximum", dimensions=dimensions),
        },
        # Container Insights may say nothing of a service without tasks.
        expression="IF(FILL(wanted, 0) > 0 AND FILL(running, 0) < 1, 1, 0)",
        threshold=1,
        reason="A first copy starts within two minutes, also on Spot. Some of many that are still starting are scaling out, and no alarm.",
        evaluation_periods=5,
        runbook="worker-absent.md",
    )


def _throttled(table: TablePolicy) -> AlarmPolicy:
    dimensions = {"TableName": table_name(_PREFIX, table.name)}
    return AlarmPolicy(
        name=f"{table.name}-throttled",
        purpose=f"DynamoDB keeps putting off requests to {table.name}.",
        measures={
            "reads": Measure(metric=aws_metrics.DYNAMODB_READ_THROTTLES, statistic="Sum", dimensions=dimensions),
            "writes": Measure(metric=aws_metrics.DYNAMODB_WRITE_THROTTLES, statistic="Sum", dimensions=dimensions),
        },
        expression="FILL(reads, 0) + FILL(writes, 0)",
        threshold=100,
        reason="A table that grows is split within minutes, and what was put off is tried again. A hundred a minute for so long stays.",
        evaluation_periods=5,
        runbook="table-throttled.md",
    )


def _own(metric: MetricPolicy, service: ServicePolicy, statistic: str = "Maximum") -> Measure:
    return Measure(metric=metric, statistic=statistic, dimensions={metrics.DEPLOYMENT: _PREFIX, metrics.SERVICE: service.name})


_OUTBOX_LAG = AlarmPolicy(
    name="outbox-lag",
    purpose="Committed jobs are not reaching SQS.",
    measures={"lag": _own(metrics.OUTBOX_LAG, OUTBOX_RELAY)},
    threshold=60,
    reason="A job leaves within a second, or with the relay's next look half a second later. A minute is an outage.",
    evaluation_periods=2,
    # The relay measures its own lag: one that is dead is silent.
    is_silence_bad=True,
    runbook="outbox-lag.md",
)

_SCHEDULE_LAG = AlarmPolicy(
    name="schedule-lag",
    purpose="What the schedule says is due is not sent.",
    measures={"lag": _own(metrics.SCHEDULE_LAG, BEAT)},
    threshold=60,
    reason="A due time counts as missed after a minute. Five of them: while beat is deployed, nobody leads for about two.",
    evaluation_periods=5,
    # Only the beat that leads speaks.
    is_silence_bad=True,
    runbook="schedule-lag.md",
)

_SAGAS_STUCK = AlarmPolicy(
    name="sagas-stuck",
    purpose="What was done half-way could not be undone: money or goods are where they should not be.",
    measures={"stuck": Measure(metric=metrics.SAGAS_STUCK, statistic="Maximum", dimensions={metrics.DEPLOYMENT: _PREFIX})},
    threshold=1,
    reason="It was tried for days before it was given up. Nobody but a person goes on. They are counted every minute.",
    period=timedelta(minutes=5),
    runbook="sagas-stuck.md",
)

_DATABASE_AT_CAPACITY = AlarmPolicy(
    name="database-at-capacity",
    purpose="The database uses all the capacity that it may.",
    measures={
        # The largest of writer and readers: their mean hides a writer that has no more.
        "used": Measure(
            metric=aws_metrics.RDS_CAPACITY_USED,
            statistic="Maximum",
            dimensions={"DBClusterIdentifier": database_identifier(_PREFIX)},
        )
    },
    threshold=95,
    reason="A peak of some minutes is what the capacity is for. After a quarter of an hour queries queue up, and jobs behind them.",
    evaluation_periods=15,
    runbook="database-at-capacity.md",
)


_WEB_UNHEALTHY = AlarmPolicy(
    name="web-unhealthy",
    purpose="No web container answers: nothing is accepted.",
    measures={
        "healthy": Measure(
            metric=aws_metrics.ALB_HEALTHY,
            statistic="Maximum",
            dimensions={"LoadBalancer": "{load_balancer}", "TargetGroup": "{target_group}"},
        )
    },
    comparison=Comparison.BELOW,
    threshold=1,
    reason="A deployment starts new containers before it stops the old ones: none at all is an outage. Twice, for one figure may be missing.",
    evaluation_periods=2,
    # No figure is what it says about a service without containers.
    is_silence_bad=True,
    runbook="web-unhealthy.md",
)

_FRONT = {"LoadBalancer": "{load_balancer}"}
_WEB_ERRORS = AlarmPolicy(
    name="web-errors",
    purpose="More than one request in twenty fails.",
    measures={
        "requests": Measure(metric=aws_metrics.ALB_REQUESTS, statistic="Sum", dimensions=_FRONT),
        "target": Measure(metric=aws_metrics.ALB_TARGET_5XX, statistic="Sum", dimensions=_FRONT),
        # What found no container is not among the requests.
        "own": Measure(metric=aws_metrics.ALB_OWN_5XX, statistic="Sum", dimensions=_FRONT),
    },
    expression=("IF(FILL(target, 0) + FILL(own, 0) >= 10, 100 * (FILL(target, 0) + FILL(own, 0)) / (FILL(requests, 0) + FILL(own, 0)), 0)"),
    threshold=5,
    reason="In percent. Fewer than ten a minute are somebody's bug, which the log shows in the morning; three minutes are no failover.",
    evaluation_periods=3,
    runbook="web-errors.md",
)


def _sensor_silent(service: ServicePolicy) -> AlarmPolicy:
    """One service speaks for all: a single call publishes them."""
    return AlarmPolicy(
        name="scaling-sensor-silent",
        purpose="Nobody says how many workers are missing: they are scaled out late, and not in.",
        measures={"samples": _own(metrics.CAPACITY_DEFICIT, service, "SampleCount")},
        comparison=Comparison.BELOW,
        threshold=1,
        reason="It speaks twice a minute. Until then CloudWatch's own figures scale out; five minutes, as with the schedule, are a deployment.",
        evaluation_periods=5,
        is_silence_bad=True,
        runbook="scaling-sensor-silent.md",
    )


def alarms_for(
    *, queues: Iterable[QueuePolicy], tables: Iterable[TablePolicy], services: Iterable[ServicePolicy]
) -> tuple[AlarmPolicy, ...]:
    """Those of each queue, each worker service and each table, and those of which there is one."""
    workers = [service for service in services if service.consumes]
    scaled = [service for service in workers if service.scaling is not None]
    return (
        *(alarm for queue in queues for alarm in (_oldest_message(queue), _dead_letters(queue))),
        *map(_absent, workers),
        _OUTBOX_LAG,
        _SCHEDULE_LAG,
        *map(_sensor_silent, scaled[:1]),
        _SAGAS_STUCK,
        _WEB_UNHEALTHY,
        _WEB_ERRORS,
        _DATABASE_AT_CAPACITY,
        *map(_throttled, tables),
    )
