"""Entry points of workers. Each is retried by the engine when it raises a ``TransientError``, and put off while the breaker is open."""

from typing import Any

from celery import shared_task

from app.workload.integrations import calls, users


@shared_task(name="integrations.call_external_api", bind=True)
def call_external_api(self: Any, *, endpoint_name: str, payload: dict[str, Any]) -> dict[str, Any]:
    """Call a registered endpoint of the partner.

    Twice: a call that has ended is not made again. Killed half-way: it is made again under the same idempotency key.
    """
    call = calls.call_external_api(
        call_id=self.request.id,
        endpoint_name=endpoint_name,
        payload=payload,
        is_last_attempt=self.request.retries >= self.max_retries,
    )
    return {"call_id": str(call.pk), "state": call.state, "status": call.status}


@shared_task(name="integrations.sync_user_data")
def sync_user_data() -> dict[str, int]:
    """Publish a job for each user that changed at the partner. Twice: one of both moves the cursor, and publishes. Killed half-way: a
    page's jobs and the cursor behind it are one transaction; the next run goes on from there."""
    pulled = users.sync_user_data()
    return {"pages": pulled.pages, "users": pulled.users}


@shared_task(name="integrations.sync_individual_user")
def sync_individual_user(*, partner_user_id: str, version: int) -> str:
    """Take over one user of the partner. Twice: the version is known already. Late: a newer version stays. Killed: nothing, or one row."""
    return users.sync_individual_user(partner_user_id=partner_user_id, version=version)
