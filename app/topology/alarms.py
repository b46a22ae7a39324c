"""What wakes a person. Alarm on what hurts: jobs that wait, jobs that died, jobs that never left the database."""

from collections.abc import Iterable
from datetime import timedelta

from app.topology import metrics
from app.topology.naming import DEAD_LETTERS_SUFFIX
from app.topology.policies import AlarmPolicy, QueuePolicy
from app.topology.services import OUTBOX_RELAY


def _oldest_message(queue: QueuePolicy) -> AlarmPolicy:
    return AlarmPolicy(
        name=f"{queue.name}-oldest-message",
        purpose=f"A job has been waiting in {queue.name} for {queue.alarm_age // timedelta(minutes=1)} minutes.",
        namespace=metrics.SQS_NAMESPACE,
        metric=metrics.SQS_OLDEST_MESSAGE_AGE,
        dimensions={"QueueName": f"{{prefix}}-{queue.name}"},
        statistic="Maximum",
        threshold=queue.alarm_age.total_seconds(),
        evaluation_periods=2,
        runbook="oldest-message.md",
    )


def _dead_letters(queue: QueuePolicy) -> AlarmPolicy:
    return AlarmPolicy(
        name=f"{queue.name}-dead-letters",
        purpose=f"Messages of {queue.name} were delivered {queue.max_receive_count} times without success.",
        namespace=metrics.SQS_NAMESPACE,
        # Visible, not sent: NumberOfMessagesSent does not count what the redrive policy moves.
        metric=metrics.SQS_VISIBLE_MESSAGES,
        dimensions={"QueueName": f"{{prefix}}-{queue.name}{DEAD_LETTERS_SUFFIX}"},
        statistic="Maximum",
        threshold=1,
        runbook="dead-letters.md",
    )


_OUTBOX_LAG = AlarmPolicy(
    name="outbox-lag",
    purpose="Committed jobs are not reaching SQS.",
    namespace=metrics.NAMESPACE,
    metric=metrics.OUTBOX_LAG.name,
    dimensions={metrics.DEPLOYMENT: "{prefix}", "Service": OUTBOX_RELAY.name},
    statistic="Maximum",
    threshold=60,
    period=timedelta(minutes=1),
    evaluation_periods=2,
    # The relay measures its own lag: one that is dead is silent.
    is_silence_bad=True,
    runbook="outbox-lag.md",
)


def alarms_for(queues: Iterable[QueuePolicy]) -> tuple[AlarmPolicy, ...]:
    per_queue = [alarm for queue in queues for alarm in (_oldest_message(queue), _dead_letters(queue))]
    return (*per_queue, _OUTBOX_LAG)
