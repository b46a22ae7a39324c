"""How much waits in each queue, and for how long."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from app.engine.aws import clients
from app.engine.aws.errors import translated
from app.engine.aws.queue_urls import dead_letter_queue_url, queue_url
from app.engine.conf import EngineSettings
from app.topology.aws_metrics import SQS_OLDEST_AGE
from app.topology.naming import queue_name

#: CloudWatch has SQS's figures one to three minutes late; an older one says nothing about now.
_AGE_WINDOW = timedelta(minutes=5)


@dataclass(frozen=True, kw_only=True, slots=True)
class QueueDepth:
    """SQS's approximate counts. ``oldest`` is CloudWatch's and up to three minutes late; ``None`` when unknown or empty."""

    queue: str
    visible: int
    in_flight: int
    delayed: int
    dead: int
    oldest: timedelta | None


def read_queue_depths(settings: EngineSettings) -> tuple[QueueDepth, ...]:
    """Ask SQS (two calls a queue) and CloudWatch (one call).

    Raises :class:`~app.engine.aws.errors.AwsUnavailable` or ``AwsRefused``. Costs 2 SQS requests a queue and one
    GetMetricData figure a queue: cache it where many people look.
    """
    queues = [queue.name for queue in settings.topology.queues]
    with translated("read the queues' depth"), ThreadPoolExecutor(max_workers=8, thread_name_prefix="queue-depth") as pool:
        ages = pool.submit(_oldest_ages, settings, queues)
        live = pool.map(lambda name: _counts(settings, queue_url(settings, name)), queues)
        dead = pool.map(lambda name: _counts(settings, dead_letter_queue_url(settings, name)), queues)
        return tuple(
            QueueDepth(
                queue=name,
                visible=counts["ApproximateNumberOfMessages"],
                in_flight=counts["ApproximateNumberOfMessagesNotVisible"],
                delayed=counts["ApproximateNumberOfMessagesDelayed"],
                dead=dead_counts["ApproximateNumberOfMessages"] + dead_counts["ApproximateNumberOfMessagesNotVisible"],
                oldest=ages.result().get(name) if counts["ApproximateNumberOfMessages"] else None,
            )
            for name, counts, dead_counts in zip(queues, live, dead, strict=True)
        )


def read_visible(settings: EngineSettings, queue: str) -> int:
    """Messages of one queue that nobody has received, approximately. Raises :class:`~app.engine.aws.errors.AwsUnavailable` or ``AwsRefused``."""
    with translated("read the queue's depth"):
        return _counts(settings, queue_url(settings, queue))["ApproximateNumberOfMessages"]


def _counts(settings: EngineSettings, url: str) -> Mapping[str, int]:
    answer = clients.sqs(settings).get_queue_attributes(
        QueueUrl=url,
        AttributeNames=["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible", "ApproximateNumberOfMessagesDelayed"],
    )
    return {name: int(value) for name, value in answer["Attributes"].items()}


def _oldest_ages(settings: EngineSettings, queues: list[str]) -> Mapping[str, timedelta]:
    now = datetime.now(UTC)
    answer = clients.cloudwatch(settings).get_metric_data(
        MetricDataQueries=[
            {
                "Id": f"q{position}",
                "MetricStat": {
                    "Metric": {
                        "Namespace": SQS_OLDEST_AGE.namespace,
                        "MetricName": SQS_OLDEST_AGE.name,
                        "Dimensions": [{"Name": "QueueName", "Value": queue_name(settings.name_prefix, name)}],
                    },
                    "Period": 60,
                    "Stat": "Maximum",
                },
            }
            for position, name in enumerate(queues)
        ],
        StartTime=now - _AGE_WINDOW,
        EndTime=now + timedelta(minutes=1),
        ScanBy="TimestampDescending",
    )
    newest = {result["Id"]: result["Values"][0] for result in answer["MetricDataResults"] if result["Values"]}
    return {name: timedelta(seconds=newest[f"q{position}"]) for position, name in enumerate(queues) if f"q{position}" in newest}
