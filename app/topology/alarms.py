"""What wakes a person. Alarm on what hurts: jobs that wait, jobs that died, jobs that never left the database."""

from collections.abc import Iterable
from datetime import timedelta

from app.topology import aws_metrics, metrics
from app.topology.naming import dead_letter_queue_name, queue_name
from app.topology.policies import AlarmPolicy, Measure, QueuePolicy
from app.topology.services import OUTBOX_RELAY

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


_OUTBOX_LAG = AlarmPolicy(
    name="outbox-lag",
    purpose="Committed jobs are not reaching SQS.",
    measures={
        "lag": Measure(
            metric=metrics.OUTBOX_LAG, statistic="Maximum", dimensions={metrics.DEPLOYMENT: _PREFIX, "Service": OUTBOX_RELAY.name}
        )
    },
    threshold=60,
    reason="A job leaves within a second, or with the relay's next look half a second later. A minute is an outage.",
    evaluation_periods=2,
    # The relay measures its own lag: one that is dead is silent.
    is_silence_bad=True,
    runbook="outbox-lag.md",
)


def alarms_for(queues: Iterable[QueuePolicy]) -> tuple[AlarmPolicy, ...]:
    per_queue = [alarm for queue in queues for alarm in (_oldest_message(queue), _dead_letters(queue))]
    return (*per_queue, _OUTBOX_LAG)
