"""``/api/schedules``: what beat sends, and ways to change it. For staff."""

import logging
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Annotated, Any

from celery import schedules
from django.db import transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from ninja import Path, Router, Schema
from pydantic import ConfigDict, Field

from app.api.errors import FieldError, Problem
from app.api.problems import problem_responses
from app.api.schemas import RequestBody
from app.api.tokens import StaffTokenAuthentication
from app.engine.schedules.errors import NoSuchSchedule, ScheduleDeclared, ScheduleRefused
from app.engine.schedules.missed import Missed
from app.engine.schedules.periodic_tasks import LONGEST_NAME, create_periodic_task, read_crontab, remove, switch
from app.engine.schedules.report import EntryReport, read_entries
from app.engine.schedules.writing import Change

logger = logging.getLogger(__name__)

router = Router(tags=["schedules"], auth=StaffTokenAuthentication())

LONGEST_INTERVAL_SECONDS = 41 * 366 * 24 * 3600
_LONGEST_CRONTAB = 600

Name = Annotated[str, Path(max_length=LONGEST_NAME, description="Of the entry.")]


class ScheduleAnswer(Schema):
    """One entry of the schedule."""

    # Without it, mypy's plugin would have pydantic take a **kwargs beside the field.
    model_config = ConfigDict(extra="forbid")

    name: str
    task: str
    every_seconds: float | None = Field(description="Of an interval.")
    crontab: str = Field(description="Minute, hour, day of month, month, day of week; empty for any other schedule.")
    timezone: str = Field(description="On whose clock the crontab is read.")
    args: list[Any]
    kwargs: dict[str, Any]
    enabled: bool
    declared: bool = Field(description="By app/config/schedule.py: here it can only be switched on and off.")
    missed: Missed = Field(description="What becomes of due times at which no beat could act.")
    last_due: datetime | None
    last_outcome: str = Field(description="Of `last_due`: `sent`, `skipped` or `refused`.")
    next_due: datetime | None = Field(description="null if it is off, or never due again.")
    problem: str = Field(description="Why it could not be sent, or cannot be read.")


class ScheduleList(Schema):
    items: list[ScheduleAnswer] = Field(description="All of them, by name.")


class ScheduleBody(RequestBody):
    """What to send, and when: either `every_seconds` or `crontab`."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"task": "engine.debug_task", "crontab": "0 8 * * mon-fri"}]})

    task: Annotated[str, Field(min_length=1, max_length=LONGEST_NAME)]
    every_seconds: Annotated[int | None, Field(ge=1, le=LONGEST_INTERVAL_SECONDS)] = None
    crontab: Annotated[str | None, Field(min_length=1, max_length=_LONGEST_CRONTAB)] = None
    timezone: Annotated[str, Field(min_length=1, max_length=63, description="On whose clock the crontab is read.")] = "UTC"
    args: tuple[Any, ...] = Field((), strict=False)
    kwargs: dict[str, Any] = Field(default_factory=dict)
    missed: Annotated[Missed, Field(strict=False)] = Missed.ONE
    enabled: Annotated[bool | None, Field(description="Left out: as it is; a new one is on.")] = None


class SwitchBody(RequestBody):
    enabled: bool


@router.get("", response=ScheduleList, summary="List schedules", openapi_extra=problem_responses(401, 403, 503))
def list_schedules(request: HttpRequest) -> dict[str, Any]:  # noqa: ARG001 — ninja passes it to each view
    """Declared ones, and those that people and programs made."""
    return {"items": [_answer(entry) for entry in read_entries()]}


@router.get("/{path:name}", response=ScheduleAnswer, summary="Read a schedule", openapi_extra=problem_responses(401, 403, 404, 422, 503))
def read_schedule(request: HttpRequest, name: Name) -> dict[str, Any]:  # noqa: ARG001 — as above
    return _found(name)


@router.put(
    "/{path:name}",
    response={200: ScheduleAnswer, 201: ScheduleAnswer},
    summary="Create or update a schedule",
    openapi_extra=problem_responses(400, 401, 403, 409, 413, 415, 422, 503),
)
def put_schedule(request: HttpRequest, name: Name, payload: ScheduleBody) -> HttpResponse:
    """The entry of that name says this from now on; sent twice, it is there once. Beat sees it within five seconds."""
    with transaction.atomic():
        try:
            change = create_periodic_task(
                name, payload.task, _schedule(payload), payload.args, payload.kwargs, missed=payload.missed, enabled=payload.enabled
            )
        except ScheduleRefused as error:
            raise _refusal(error) from error
        answer = _found(name)
    _note(request, str(change), name)
    status = HTTPStatus.CREATED if change is Change.CREATED else HTTPStatus.OK
    return JsonResponse(ScheduleAnswer(**answer).model_dump(mode="json"), status=status)


@router.patch(
    "/{path:name}",
    response=ScheduleAnswer,
    summary="Switch a schedule on or off",
    openapi_extra=problem_responses(400, 401, 403, 404, 413, 415, 422, 503),
)
def switch_schedule(request: HttpRequest, name: Name, payload: SwitchBody) -> dict[str, Any]:
    """Declared ones, too; they stay as you leave them. Due times while it is off are not made up for."""
    try:
        is_changed = switch(name, is_on=payload.enabled)
    except NoSuchSchedule as error:
        raise _missing(name) from error
    if is_changed:
        _note(request, "switched on" if payload.enabled else "switched off", name)
    return _found(name)


@router.delete(
    "/{path:name}",
    response={204: None},
    summary="Delete a schedule",
    openapi_extra=problem_responses(401, 403, 404, 409, 503),
)
def delete_schedule(request: HttpRequest, name: Name) -> HttpResponse:
    """One that is not declared."""
    try:
        remove(name)
    except NoSuchSchedule as error:
        raise _missing(name) from error
    except ScheduleRefused as error:
        raise _refusal(error) from error
    _note(request, "deleted", name)
    return HttpResponse(status=HTTPStatus.NO_CONTENT)


def _schedule(payload: ScheduleBody) -> timedelta | schedules.crontab:
    if (payload.every_seconds is None) is (payload.crontab is None):
        raise Problem(
            422,
            detail="Some fields cannot be accepted.",
            errors=[FieldError(where="body", field="every_seconds", reason="expected either every_seconds or crontab, and not both")],
        )
    if payload.crontab is not None:
        return read_crontab(payload.crontab, payload.timezone)
    return timedelta(seconds=payload.every_seconds or 0)


def _found(name: str) -> dict[str, Any]:
    if not (found := read_entries(name=name)):
        raise _missing(name)
    return _answer(found[0])


def _answer(entry: EntryReport) -> dict[str, Any]:
    return {
        "name": entry.name,
        "task": entry.task,
        "every_seconds": None if entry.every is None else entry.every.total_seconds(),
        "crontab": entry.crontab,
        "timezone": entry.zone,
        "args": entry.args,
        "kwargs": entry.kwargs,
        "enabled": entry.is_enabled,
        "declared": entry.is_declared,
        "missed": entry.missed,
        "last_due": entry.last_due,
        "last_outcome": entry.last_outcome,
        "next_due": entry.next_due,
        "problem": entry.problem,
    }


def _refusal(error: ScheduleRefused) -> Problem:
    if isinstance(error, ScheduleDeclared):
        return Problem(409, title="The schedule is declared", detail=str(error))
    wheres = {"name": "path"}
    errors = [FieldError(where=wheres.get(field, "body"), field=field, reason=reason) for field, reason in error.problems]
    return Problem(422, detail="Some fields cannot be accepted.", errors=errors)


def _missing(name: str) -> Problem:
    return Problem(404, detail=f"There is no schedule {name!r:.210}. GET /api/schedules lists them.")


def _note(request: HttpRequest, change: str, name: str) -> None:
    logger.info("schedule changed", extra={"change": change, "schedule": name, "by": request.user.get_username()})
