"""What jobs run on, and what is paid for."""

from app.topology import ServicePolicy, TablePolicy, Topology, aws_metrics, metrics
from app.topology.services import BEAT, OUTBOX_RELAY
from infra.dashboards.cost import cost_drivers
from infra.dashboards.measures import (
    PREFIX,
    of_containers,
    of_database,
    of_deployment,
    of_front,
    of_service,
    of_table,
    of_targets,
)
from infra.dashboards.panels import Board, Line, Panel, Row, Search


def platform(topology: Topology) -> Board:
    rows = (_web(), _senders(), _containers(topology.services), _database(), _tables(topology.tables), cost_drivers(topology))
    return Board(name="platform", shows_alarms=False, rows=rows)


def _web() -> Row:
    return Row(
        title="Web",
        text="Errors of the load balancer mean that no container answered in time; those of containers are our own exceptions.",
        panels=(
            Panel(
                title="Requests",
                axis="a minute",
                width=6,
                lines=(Line(label="answered", measure=of_front(aws_metrics.ALB_REQUESTS, "Sum")),),
            ),
            Panel(
                title="Failed requests",
                axis="a minute",
                width=6,
                is_stacked=True,
                lines=(
                    Line(label="by a container", measure=of_front(aws_metrics.ALB_TARGET_5XX, "Sum")),
                    Line(label="by the load balancer", measure=of_front(aws_metrics.ALB_OWN_5XX, "Sum")),
                ),
            ),
            Panel(
                title="Until the answer begins",
                axis="seconds",
                width=6,
                lines=tuple(Line(label=each, measure=of_front(aws_metrics.ALB_LATENCY, each)) for each in ("p50", "p95", "p99")),
            ),
            Panel(
                title="Containers",
                axis="containers",
                width=6,
                lines=(
                    Line(label="healthy", measure=of_targets(aws_metrics.ALB_HEALTHY, "Maximum")),
                    Line(label="not healthy", measure=of_targets(aws_metrics.ALB_UNHEALTHY, "Maximum")),
                ),
            ),
        ),
    )


def _senders() -> Row:
    return Row(
        title="Outbox, schedule, sagas, breakers",
        text="A gap in a lag is a process that is silent. An open breaker is a partner that is away.",
        panels=(
            Panel(
                title="Behind",
                axis="seconds",
                width=6,
                lines=(
                    Line(label="outbox", measure=of_service(metrics.OUTBOX_LAG, OUTBOX_RELAY, "Maximum")),
                    Line(label="schedule", measure=of_service(metrics.SCHEDULE_LAG, BEAT, "Maximum")),
                ),
            ),
            Panel(
                title="Waiting in the database",
                axis="rows",
                width=6,
                lines=(
                    Line(label="messages for SQS", measure=of_service(metrics.OUTBOX_WAITING, OUTBOX_RELAY, "Maximum")),
                    Line(label="records for the ledger", measure=of_service(metrics.LATE_RECORDS, OUTBOX_RELAY, "Maximum")),
                ),
            ),
            Panel(
                title="Sagas that are stuck",
                axis="sagas",
                width=6,
                lines=(Line(label="stuck", measure=of_deployment(metrics.SAGAS_STUCK, "Maximum")),),
            ),
            Panel(
                title="Breakers that opened",
                axis="a minute",
                width=6,
                lines=(
                    Search(
                        label="${PROP('Dim.Breaker')}",
                        metric=metrics.BREAKER_OPENINGS,
                        statistic="Sum",
                        where={metrics.DEPLOYMENT: PREFIX},
                    ),
                ),
            ),
        ),
    )


def _containers(services: tuple[ServicePolicy, ...]) -> Row:
    scaled = [service for service in services if service.scaling is not None]
    return Row(
        title="Containers",
        text="Memory near 100 % ends in exit code 137. Workers that are missing for long do not start, or have reached their maximum.",
        panels=(
            Panel(
                title="Workers that are missing, or too many",
                axis="copies",
                width=6,
                lowest=None,
                lines=tuple(
                    Line(label=service.name, measure=of_service(metrics.CAPACITY_DEFICIT, service, "Maximum")) for service in scaled
                ),
            ),
            Panel(
                title="Copies that run",
                axis="copies",
                width=6,
                is_stacked=True,
                lines=tuple(
                    Line(label=service.name, measure=of_containers(aws_metrics.ECS_RUNNING, service, "Maximum")) for service in services
                ),
            ),
            Panel(
                title="CPU",
                axis="% of what is reserved",
                width=6,
                lines=tuple(
                    Line(label=service.name, measure=of_containers(aws_metrics.ECS_CPU, service, "Average")) for service in services
                ),
            ),
            Panel(
                title="Memory, the fullest copy",
                axis="% of what is reserved",
                width=6,
                lines=tuple(
                    Line(label=service.name, measure=of_containers(aws_metrics.ECS_MEMORY, service, "Maximum")) for service in services
                ),
            ),
        ),
    )


def _database() -> Row:
    return Row(
        title="Database",
        text="What rose first? Connections: too many workers. CPU with few connections: a query. Commit latency alone: AWS's storage.",
        panels=(
            Panel(
                title="Capacity in use, of the most",
                axis="%",
                width=5,
                lines=(Line(label="in use", measure=of_database(aws_metrics.RDS_CAPACITY_USED, "Maximum")),),
            ),
            Panel(
                title="CPU",
                axis="%",
                width=5,
                lines=(Line(label="CPU", measure=of_database(aws_metrics.RDS_CPU, "Maximum")),),
            ),
            Panel(
                title="Connections",
                axis="connections",
                width=5,
                lines=(Line(label="open", measure=of_database(aws_metrics.RDS_CONNECTIONS, "Maximum")),),
            ),
            Panel(
                title="Commits",
                axis="milliseconds; deadlocks a second",
                width=5,
                lines=(
                    Line(label="latency", measure=of_database(aws_metrics.RDS_COMMIT_LATENCY, "Average")),
                    Line(label="deadlocks", measure=of_database(aws_metrics.RDS_DEADLOCKS, "Maximum")),
                ),
            ),
            Panel(
                title="Free memory",
                axis="bytes",
                width=4,
                lines=(Line(label="free", measure=of_database(aws_metrics.RDS_FREE_MEMORY, "Minimum")),),
            ),
        ),
    )


def _tables(tables: tuple[TablePolicy, ...]) -> Row:
    panels = (
        ("Writes put off", "requests a minute", aws_metrics.DYNAMODB_WRITE_THROTTLES),
        ("Reads put off", "requests a minute", aws_metrics.DYNAMODB_READ_THROTTLES),
        ("Writes", "units a minute", aws_metrics.DYNAMODB_WRITES),
        ("Reads", "units a minute", aws_metrics.DYNAMODB_READS),
    )
    return Row(
        title="Tables",
        text="Throttles without a rise of reads or writes before them are one hot key.",
        panels=tuple(
            Panel(
                title=title,
                axis=axis,
                width=6,
                lines=tuple(Line(label=table.name, measure=of_table(metric, table, "Sum")) for table in tables),
            )
            for title, axis, metric in panels
        ),
    )
