"""The first page at night: is it us, where is it, since when."""

from app.topology import Topology, aws_metrics, metrics
from app.topology.services import BEAT, OUTBOX_RELAY
from infra.dashboards.measures import (
    of_all_tasks,
    of_containers,
    of_database,
    of_dead_letters,
    of_front,
    of_queue,
    of_service,
    of_table,
    of_targets,
)
from infra.dashboards.panels import Board, Formula, Line, Panel, Row
from infra.dashboards.tasks import PERIOD, failures


def overview(topology: Topology) -> Board:
    return Board(name="overview", shows_alarms=True, rows=(_what_hurts(topology), _what_goes_on(topology), _what_it_stands_on(topology)))


def _what_hurts(topology: Topology) -> Row:
    return Row(
        title="What hurts",
        text="Jobs that wait, jobs that died, jobs that have not left. Flat at 0 is well. Each queue by itself: dashboard *queues*.",
        panels=(
            Panel(
                title="Oldest message",
                axis="seconds",
                width=6,
                lines=tuple(
                    Line(label=queue.name, measure=of_queue(aws_metrics.SQS_OLDEST_AGE, queue, "Maximum")) for queue in topology.queues
                ),
            ),
            Panel(
                title="Dead letters",
                axis="messages",
                width=6,
                is_stacked=True,
                lines=tuple(
                    Line(label=queue.name, measure=of_dead_letters(aws_metrics.SQS_VISIBLE, queue, "Maximum")) for queue in topology.queues
                ),
            ),
            Panel(title="Failures by task", axis="runs in 5 minutes", width=6, lines=(failures(),), is_stacked=True, period=PERIOD),
            Panel(
                title="Outbox and schedule",
                axis="seconds behind",
                width=6,
                lines=(
                    Line(label="outbox", measure=of_service(metrics.OUTBOX_LAG, OUTBOX_RELAY, "Maximum")),
                    Line(label="schedule", measure=of_service(metrics.SCHEDULE_LAG, BEAT, "Maximum")),
                ),
            ),
        ),
    )


def _what_goes_on(topology: Topology) -> Row:
    workers = [service for service in topology.services if service.consumes]
    return Row(
        title="What goes on",
        text="A queue that grows while its workers are busy wants more of them; one that grows while they are idle is not received from.",
        panels=(
            Panel(
                title="Messages that wait",
                axis="messages",
                width=6,
                lines=tuple(
                    Line(label=queue.name, measure=of_queue(aws_metrics.SQS_VISIBLE, queue, "Maximum")) for queue in topology.queues
                ),
            ),
            Panel(
                title="Runs that ended",
                axis="a minute",
                width=6,
                is_stacked=True,
                lines=tuple(Line(label=queue.name, measure=of_all_tasks(metrics.TASK_RUNS, queue, "Sum")) for queue in topology.queues),
            ),
            Panel(
                title="Wait before a run, 95 of 100",
                axis="milliseconds",
                width=6,
                lines=tuple(
                    Line(label=queue.name, measure=of_all_tasks(metrics.TASK_QUEUE_WAIT, queue, "p95")) for queue in topology.queues
                ),
            ),
            Panel(
                title="Slots that are busy",
                axis="% of slots",
                width=6,
                lines=tuple(
                    Formula(
                        label=service.name,
                        expression=f"100 * busy_{number} / slots_{number}",
                        measures={
                            f"busy_{number}": of_service(metrics.WORKER_SLOTS_BUSY, service, "Sum"),
                            f"slots_{number}": of_service(metrics.WORKER_SLOTS, service, "Sum"),
                        },
                    )
                    for number, service in enumerate(workers)
                ),
            ),
        ),
    )


def _what_it_stands_on(topology: Topology) -> Row:
    return Row(
        title="What it stands on",
        text="Web, containers, database, tables. More of each: dashboard *platform*.",
        panels=(
            Panel(
                title="Web: failed requests, healthy containers",
                axis="requests a minute; containers",
                width=6,
                lines=(
                    Line(label="failed by a container", measure=of_front(aws_metrics.ALB_TARGET_5XX, "Sum")),
                    Line(label="failed by the load balancer", measure=of_front(aws_metrics.ALB_OWN_5XX, "Sum")),
                    Line(label="healthy containers", measure=of_targets(aws_metrics.ALB_HEALTHY, "Maximum")),
                ),
            ),
            Panel(
                title="Copies that are wanted and do not run",
                axis="copies",
                width=6,
                lines=tuple(
                    Formula(
                        label=service.name,
                        expression=f"wanted_{number} - running_{number}",
                        measures={
                            f"wanted_{number}": of_containers(aws_metrics.ECS_DESIRED, service, "Maximum"),
                            f"running_{number}": of_containers(aws_metrics.ECS_RUNNING, service, "Maximum"),
                        },
                    )
                    for number, service in enumerate(topology.services)
                ),
                lowest=None,
            ),
            Panel(
                title="Database",
                axis="%",
                width=6,
                lines=(
                    Line(label="capacity in use", measure=of_database(aws_metrics.RDS_CAPACITY_USED, "Maximum")),
                    Line(label="CPU", measure=of_database(aws_metrics.RDS_CPU, "Maximum")),
                ),
            ),
            Panel(
                title="Requests that DynamoDB put off",
                axis="a minute",
                width=6,
                lines=tuple(
                    Formula(
                        label=table.name,
                        expression=f"FILL(reads_{number}, 0) + FILL(writes_{number}, 0)",
                        measures={
                            f"reads_{number}": of_table(aws_metrics.DYNAMODB_READ_THROTTLES, table, "Sum"),
                            f"writes_{number}": of_table(aws_metrics.DYNAMODB_WRITE_THROTTLES, table, "Sum"),
                        },
                    )
                    for number, table in enumerate(topology.tables)
                ),
            ),
        ),
    )
