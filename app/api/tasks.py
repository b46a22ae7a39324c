from celery import shared_task

from app.api import idempotency


@shared_task(name="api.forget_old_requests")
def forget_old_requests() -> int:
    """Delete idempotency keys older than a day. Twice or killed half-way: each batch is a transaction, rows go once."""
    return idempotency.forget_old_requests()
