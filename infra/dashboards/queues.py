"""A row a queue: what waits, how long, how fast it goes, who works on it."""

from app.topology import QueuePolicy, ServicePolicy, Topology, aws_metrics, metrics
from infra.dashboards.measures import of_all_tasks, of_containers, of_dead_letters, of_queue, of_service
from infra.dashboards.panels import Board, Limit, Line, Panel, Row
from infra.dashboards.tasks import by_task

_PERCENTILES = ("p50", "p95", "p99")


def queues(topology: Topology) -> Board:
    return Board(name="queues", shows_alarms=False, rows=(*(_row(queue, topology.services) for queue in topology.queues), by_task()))


def _row(queue: QueuePolicy, services: tuple[ServicePolicy, ...]) -> Row:
    workers = [service for service in services if queue.name in service.consumes]
    return Row(
        title=queue.name,
        text=queue.purpose,
        panels=(
            Panel(
                title="Messages",
                axis="messages",
                width=4,
                lines=(
                    Line(label="wait", measure=of_queue(aws_metrics.SQS_VISIBLE, queue, "Maximum")),
                    Line(label="held by a worker", measure=of_queue(aws_metrics.SQS_IN_FLIGHT, queue, "Maximum")),
                    Line(label="not due", measure=of_queue(aws_metrics.SQS_DELAYED, queue, "Maximum")),
                    Line(label="dead", measure=of_dead_letters(aws_metrics.SQS_VISIBLE, queue, "Maximum")),
                ),
            ),
            Panel(
                title="Oldest message",
                axis="seconds",
                width=4,
                lines=(Line(label="age", measure=of_queue(aws_metrics.SQS_OLDEST_AGE, queue, "Maximum")),),
                limit=Limit(label="alarm", value=queue.alarm_age.total_seconds()),
            ),
            Panel(
                title="In and out",
                axis="messages a minute",
                width=4,
                lines=(
                    Line(label="sent", measure=of_queue(aws_metrics.SQS_SENT, queue, "Sum")),
                    Line(label="received", measure=of_queue(aws_metrics.SQS_RECEIVED, queue, "Sum")),
                    Line(label="settled", measure=of_queue(aws_metrics.SQS_DELETED, queue, "Sum")),
                ),
            ),
            Panel(
                title="Wait before a run",
                axis="milliseconds",
                width=4,
                lines=tuple(Line(label=each, measure=of_all_tasks(metrics.TASK_QUEUE_WAIT, queue, each)) for each in _PERCENTILES),
            ),
            Panel(
                title="Run time",
                axis="milliseconds",
                width=4,
                lines=tuple(Line(label=each, measure=of_all_tasks(metrics.TASK_RUN_TIME, queue, each)) for each in _PERCENTILES),
            ),
            Panel(
                title="Workers",
                axis="copies; slots of each",
                width=4,
                lines=tuple(line for service in workers for line in _lines_of(service)),
                lowest=None,
            ),
        ),
    )


def _lines_of(service: ServicePolicy) -> tuple[Line, ...]:
    return (
        Line(label="wanted", measure=of_containers(aws_metrics.ECS_DESIRED, service, "Maximum")),
        Line(label="running", measure=of_containers(aws_metrics.ECS_RUNNING, service, "Maximum")),
        Line(label="missing", measure=of_service(metrics.CAPACITY_DEFICIT, service, "Maximum")),
        Line(label="busy slots of each", measure=of_service(metrics.WORKER_SLOTS_BUSY, service, "Average")),
    )
