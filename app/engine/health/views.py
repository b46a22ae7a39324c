"""The health endpoints. Without a login they answer a word and a status code; staff see the details."""

from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from django.db import Error as DatabaseError
from django.db import connections
from django.http import HttpRequest, JsonResponse
from django.utils import timezone
from django.views.decorators.http import require_safe

from app.engine.conf import engine_settings
from app.engine.errors import EngineError
from app.engine.health.fleet import Fleet, inspect_fleet
from app.engine.health.readiness import PATIENCE, check_dependencies
from app.engine.shared_reading import SharedReading
from app.engine.workers.report import document_of

#: Anybody may ask, so asking often must cost no more than asking once a second.
_dependencies = SharedReading(lambda: check_dependencies(engine_settings()), patience=2 * PATIENCE)
_fleet = SharedReading(lambda: _read_fleet(), patience=2 * PATIENCE)  # noqa: PLW0108 — defined below


@require_safe
def live(request: HttpRequest) -> JsonResponse:
    """200 while this process answers at all: for the container's health check, which restarts it otherwise."""
    return _answer(request, healthy=True, details={})


@require_safe
def ready(request: HttpRequest) -> JsonResponse:
    """200 while database, SQS and DynamoDB answer."""
    try:
        problems = _dependencies.read()
    except EngineError as error:
        return _answer(request, healthy=False, details={"problems": [str(error)]})
    return _answer(
        request, healthy=not any(problems.values()), details={"dependencies": {name: problem or "ok" for name, problem in problems.items()}}
    )


@require_safe
def workers(request: HttpRequest) -> JsonResponse:
    """200 while every queue has a living worker, a beat leads, nothing is dead, lost or missed lately, and nothing waits for too long."""
    try:
        fleet = _fleet.read()
    except (EngineError, DatabaseError) as error:
        return _answer(request, healthy=False, details={"problems": [str(error)]})
    now = timezone.now()
    details = {
        "problems": fleet.problems,
        "queues": [asdict(queue) for queue in fleet.queues],
        "outbox": asdict(fleet.outbox),
        "schedule": asdict(fleet.schedule),
        "workers": [document_of(worker, now) for worker in fleet.workers.live],
        "lost_workers": [document_of(worker, now) for worker in fleet.workers.lost],
        "version_skew": fleet.workers.version_skew,
        "summary": {
            "live_workers": sum(1 for worker in fleet.workers.live if worker.queues),
            "active": sum(worker.busy for worker in fleet.workers.live),
            "reserved": sum(worker.reserved for worker in fleet.workers.live),
        },
    }
    return _answer(request, healthy=not fleet.problems, details=details)


def _answer(request: HttpRequest, *, healthy: bool, details: dict[str, Any]) -> JsonResponse:
    body: dict[str, Any] = {"status": "ok" if healthy else "unhealthy"}
    # Only the detailed views have something to hide; live must not ask the database who is asking.
    if details and _is_staff(request):
        body |= _plain(details)
    response = JsonResponse(body, status=200 if healthy else 503)
    response["Cache-Control"] = "no-store"
    return response


def _read_fleet() -> Fleet:
    """In a thread that outlives the request, so its database connection must not."""
    try:
        return inspect_fleet(engine_settings(), timezone.now())
    finally:
        connections.close_all()


def _is_staff(request: HttpRequest) -> bool:
    try:
        return bool(request.user.is_authenticated and request.user.is_staff)
    except DatabaseError:
        return False


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, timedelta):
        return round(value.total_seconds(), 3)
    if isinstance(value, datetime):
        return value.isoformat()
    return value
