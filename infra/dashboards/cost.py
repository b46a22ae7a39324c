"""What is paid for by use. What is paid for by the hour stands in ``scripts/cost``."""

from datetime import timedelta

from app.topology import MetricPolicy, TablePolicy, Topology, aws_metrics
from infra.dashboards.measures import of_containers, of_database, of_front, of_index, of_log, of_queue, of_table
from infra.dashboards.panels import Line, Panel, Row, Search

_HOUR = timedelta(hours=1)


def cost_drivers(topology: Topology) -> Row:
    return Row(
        title="What is paid for by use",
        text="By the hour. SQS bills requests, which carry up to ten messages each; a receive that finds nothing is billed alike. "
        "The bytes of NAT gateways are those of the whole account. `scripts/cost` says what all this costs.",
        panels=(
            Panel(
                title="SQS: messages, empty receives",
                axis="an hour",
                width=4,
                is_stacked=True,
                period=_HOUR,
                lines=tuple(
                    Line(label=f"{queue.name}: {said}", measure=of_queue(metric, queue, "Sum"))
                    for queue in topology.queues
                    for said, metric in (("sent", aws_metrics.SQS_SENT), ("empty receives", aws_metrics.SQS_EMPTY_RECEIVES))
                ),
            ),
            Panel(
                title="DynamoDB: writes",
                axis="units an hour",
                width=4,
                is_stacked=True,
                period=_HOUR,
                lines=_units(aws_metrics.DYNAMODB_WRITES, topology.tables),
            ),
            Panel(
                title="DynamoDB: reads",
                axis="units an hour",
                width=4,
                is_stacked=True,
                period=_HOUR,
                lines=_units(aws_metrics.DYNAMODB_READS, topology.tables),
            ),
            Panel(
                title="Fargate, Aurora, load balancer",
                axis="copies; capacity units",
                width=4,
                is_stacked=True,
                period=_HOUR,
                lines=(
                    *(
                        Line(label=service.name, measure=of_containers(aws_metrics.ECS_RUNNING, service, "Average"))
                        for service in topology.services
                    ),
                    Line(label="Aurora", measure=of_database(aws_metrics.RDS_CAPACITY, "Average")),
                    Line(label="load balancer", measure=of_front(aws_metrics.ALB_CAPACITY_UNITS, "Average")),
                ),
            ),
            Panel(
                title="Logs",
                axis="bytes an hour",
                width=4,
                is_stacked=True,
                period=_HOUR,
                lines=tuple(
                    Line(label=service.name, measure=of_log(aws_metrics.LOG_BYTES, service, "Sum")) for service in topology.services
                ),
            ),
            Panel(
                title="NAT gateways",
                axis="bytes an hour",
                width=4,
                is_stacked=True,
                period=_HOUR,
                lines=(
                    Search(label="out ${PROP('Dim.NatGatewayId')}", metric=aws_metrics.NAT_BYTES_OUT, statistic="Sum", where={}),
                    Search(label="in ${PROP('Dim.NatGatewayId')}", metric=aws_metrics.NAT_BYTES_IN, statistic="Sum", where={}),
                ),
            ),
        ),
    )


def _units(metric: MetricPolicy, tables: tuple[TablePolicy, ...]) -> tuple[Line, ...]:
    """Of each table and each of its indexes, which consume for themselves."""
    return tuple(
        line
        for table in tables
        for line in (
            Line(label=table.name, measure=of_table(metric, table, "Sum")),
            *(Line(label=f"{table.name}: {index.name}", measure=of_index(metric, table, index, "Sum")) for index in table.indexes),
        )
    )
