"""``/api/workers``: for the programs of operators."""

from datetime import UTC, datetime
from typing import Any

from django.http import HttpRequest
from ninja import Router, Schema
from pydantic import Field

from app.api.problems import problem_responses
from app.api.tokens import StaffTokenAuthentication
from app.console.readings import workers_reading
from app.engine.workers.records import WorkerState
from app.engine.workers.report import document_of_all

router = Router(tags=["workers"], auth=StaffTokenAuthentication())


class RunningAnswer(Schema):
    id: str
    task: str = Field(examples=["payments.process_payment"])
    started_at: datetime


class WorkerAnswer(Schema):
    """A worker by its last heartbeat; of a beat or a relay, which run no jobs, without queues and slots."""

    hostname: str = Field(examples=["emails@ip-10-0-1-7"])
    service: str = Field(examples=["worker-emails"])
    state: WorkerState = Field(description="`lost`: silent for more than 20 seconds, without having said that it stops.")
    protected: bool = Field(description="From scale-in, because a run is long.")
    release: str
    ecs_task: str | None = Field(description="Its ARN; null outside of ECS.")
    queues: list[str]
    paused: list[str] = Field(description="Every queue that it knows to be paused.")
    slots: int
    busy: int
    reserved: int = Field(description="Received and not started.")
    running: list[RunningAnswer] = Field(description="The longest runs first, 50 at most.")
    memory_bytes: int | None
    started_at: datetime
    last_heartbeat: datetime


class WorkersAnswer(Schema):
    read_at: datetime
    workers: list[WorkerAnswer] = Field(description="Those that live, then those that were lost in the last hour.")
    version_skew: dict[str, list[str]] = Field(description="The services of which several releases live.")


@router.get("", response=WorkersAnswer, summary="List workers", url_name="workers", openapi_extra=problem_responses(401, 403, 503))
def list_workers(request: HttpRequest) -> dict[str, Any]:  # noqa: ARG001 — ninja hands it to every operation
    """Who lives, what each worker does, and who was lost."""
    return document_of_all(workers_reading.read(), datetime.now(UTC))
