"""When a job is due, and when its message leaves for it."""

from datetime import UTC, datetime, timedelta

#: So long before a job is due its message is sent, with the rest as SQS's own delay: a relay that pauses makes nothing late.
LEAD = timedelta(seconds=30)


def due_at(*, countdown: float | None = None, eta: datetime | str | None = None, now: datetime) -> datetime | None:
    """The moment before which Celery would not start the job; ``None`` for one that may start at once.

    As Celery reads them: a countdown wins over an eta, and an eta without a zone is UTC.
    """
    if countdown:
        return now + timedelta(seconds=countdown)
    if not eta:
        return None
    moment = datetime.fromisoformat(eta) if isinstance(eta, str) else eta
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def is_far_off(due: datetime | None, *, now: datetime, longest_sqs_delay: timedelta) -> bool:
    """Whether the job waits in the database, because SQS could not hold its message for so long."""
    return due is not None and due - now > longest_sqs_delay


def leaves_at(due: datetime, *, longest_sqs_delay: timedelta) -> datetime:
    """When the relay sends the message of a job that is far off. What is left then is never more than SQS can hold."""
    return due - min(LEAD, longest_sqs_delay)
