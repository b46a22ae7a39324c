"""``/api/jobs``: where a job is, and which there are."""

import base64
import binascii
import json
from datetime import UTC, datetime
from typing import Annotated, Any

from django.http import HttpRequest
from ninja import Path, Query, Router, Schema
from pydantic import Field

from app.api.errors import FieldError, Problem
from app.api.problems import problem_responses
from app.api.tokens import StaffTokenAuthentication
from app.engine.conf import engine_settings
from app.engine.errors import TransientError
from app.engine.jobs.errors import AbsurdJobId, NotSearchable
from app.engine.jobs.search import FoundJob, Place, Wanted, find_jobs
from app.engine.jobs.states import JobState
from app.engine.jobs.whereabouts import find_job

router = Router(tags=["jobs"], auth=StaffTokenAuthentication())

_EXAMPLE_ID = "7f7c4a3e-0a4e-4d7b-9d0e-2f6f3c1f9a11"


class QueueingAnswer(Schema):
    """An estimate: SQS neither numbers its messages nor keeps their order."""

    position: int = Field(description="At most so many messages are before it, itself included.")
    per_minute: float | None = Field(description="Jobs of its queue that ended lately.")
    wait_seconds: float | None = Field(description="null if none ended lately.")
    is_approximate: bool


class JobAnswer(Schema):
    """What is known of a job. null, or nothing, is not known."""

    id: str = Field(examples=[_EXAMPLE_ID])
    state: JobState
    reason: str = Field(description="For a person: what the state does not tell.")
    task: str = Field(examples=["payments.process_payment"])
    queue: str
    tenant: str
    parent: str = Field(description="The id of the job that enqueued it.")
    root: str = Field(description="The id of the first job of its canvas.")
    group: str
    origin: str = Field(description="The process that enqueued it.")
    waits_for: str = Field(description="The id of the job that it follows.")
    attempts: int | None
    receives: int | None = Field(description="How often SQS has delivered the message of its last run.")
    redrives: int | None = Field(description="How often it was sent back from the dead letters.")
    worker: str
    release: str = Field(description="Of that worker.")
    enqueued_at: datetime | None
    due_at: datetime | None = Field(description="Of a job that is delayed, or retried.")
    started_at: datetime | None = Field(description="Its last run.")
    finished_at: datetime | None
    run_seconds: float | None
    progress: Any = Field(description="State and meta that its run said last of itself.")
    error: str
    fingerprint: str = Field(description="Equal for failures that are the same problem.")
    dead_letter: str = Field(description="Its id among the dead letters.")
    queueing: QueueingAnswer | None = Field(description="Only of a job that waits in its queue.")


class FoundJobAnswer(Schema):
    id: str = Field(examples=[_EXAMPLE_ID])
    state: JobState
    task: str
    queue: str
    at: datetime = Field(
        description="When it reported its state; of a running one, when its run began; of a tenant's, when it was enqueued."
    )
    tenant: str
    attempts: int | None
    worker: str
    error: str
    fingerprint: str
    run_seconds: float | None


class JobPage(Schema):
    """Some jobs, newest first. A page may have few, or none, and still not be the last."""

    items: list[FoundJobAnswer]
    next_cursor: str | None = Field(description="Send it as `cursor` to get the next page; null on the last.")


@router.get("", response=JobPage, summary="List jobs", openapi_extra=problem_responses(401, 403, 422, 503))
def list_jobs(
    request: HttpRequest,  # noqa: ARG001 — ninja passes it to each view
    state: Annotated[JobState | None, Query(description="`scheduled` and `queued` only together with a tenant.")] = None,
    task: Annotated[str | None, Query(min_length=1, max_length=255)] = None,
    queue: Annotated[str | None, Query(min_length=1, max_length=80)] = None,
    tenant: Annotated[str | None, Query(min_length=1, max_length=128, description="For whom it was enqueued.")] = None,
    fingerprint: Annotated[str | None, Query(pattern="^[0-9a-f]{12}$", description="Failures that are the same problem.")] = None,
    since: Annotated[datetime | None, Query(description="ISO 8601; without a zone it is UTC.")] = None,
    limit: Annotated[int, Query(ge=1, le=100, description="Jobs on the page.")] = 20,
    cursor: Annotated[str | None, Query(max_length=1000, description="`next_cursor` of the page before.")] = None,
) -> dict[str, Any]:
    """The jobs that fit all that is asked for, newest first. The list is a second behind."""
    if since is not None and since.tzinfo is None:
        since = since.replace(tzinfo=UTC)
    wanted = Wanted(state=state, task=task, queue=queue, tenant=tenant, fingerprint=fingerprint, since=since)
    try:
        page = find_jobs(engine_settings(), wanted, limit=limit, after=_read_cursor(cursor) if cursor is not None else None)
    except NotSearchable as error:
        raise _refusal("query", "state", str(error)) from error
    except TransientError as error:
        raise _unavailable(error) from error
    return {"items": [_listed(job) for job in page.jobs], "next_cursor": _write_cursor(page.next) if page.next else None}


@router.get("/{path:job_id}", response=JobAnswer, summary="Find a job", openapi_extra=problem_responses(401, 403, 404, 422, 503))
def read_job(
    request: HttpRequest,  # noqa: ARG001 — as above
    job_id: Annotated[str, Path(description="The id that `delay()` returned.")],
) -> dict[str, Any]:
    """Where a job is, from the outbox to its end. 404 says that it was never enqueued here, 503 that this is not certain now."""
    settings = engine_settings()
    try:
        found = find_job(settings, job_id)
    except AbsurdJobId as error:
        raise _refusal("path", "job_id", str(error)) from error
    except TransientError as error:
        raise _unavailable(error) from error
    if found.state is None:
        hours = settings.result_ttl.total_seconds() / 3600
        raise Problem(
            404,
            title="Never enqueued here",
            detail=f"There is no such job: {found.reason}. Records are kept for {hours:g} hours.",
            type="urn:millrace:problem:never-enqueued",
        )
    return found.as_document()


def _listed(job: FoundJob) -> dict[str, Any]:
    return job.as_document()


def _unavailable(error: TransientError) -> Problem:
    return Problem(503, title="Not certain", detail=str(error)[:500], type="urn:millrace:problem:not-certain", headers={"Retry-After": "5"})


def _refusal(where: str, field: str, reason: str) -> Problem:
    return Problem(422, detail="Some fields cannot be accepted.", errors=[FieldError(where=where, field=field, reason=reason)])


def _write_cursor(place: Place) -> str:
    return base64.urlsafe_b64encode(json.dumps([place.at, place.key]).encode()).decode().rstrip("=")


def _read_cursor(cursor: str) -> Place:
    try:
        at, key = json.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
        # A moment that no clock can show is no place of ours.
        datetime.fromtimestamp(float(at), UTC)
        return Place(at=float(at), key=str(key))
    except (ValueError, TypeError, OverflowError, OSError, RecursionError, binascii.Error) as error:
        raise _refusal("query", "cursor", "expected the next_cursor of an earlier answer") from error
