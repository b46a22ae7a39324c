"""Entry points of workers, for the schedule."""

from celery import shared_task

from app.workload.housekeeping import services


@shared_task(name="housekeeping.cleanup_expired_sessions")
def cleanup_expired_sessions() -> int:
    """Delete expired sessions. Twice, also at the same time, or killed half-way: each batch is a transaction, rows go once."""
    return services.cleanup_expired_sessions()


@shared_task(name="housekeeping.cleanup_old_results")
def cleanup_old_results(*, days: int) -> dict[str, int]:
    """Delete old rows of every table that says which may go. Twice or killed half-way: each batch is a transaction, rows go once."""
    return services.cleanup_old_results(days)
