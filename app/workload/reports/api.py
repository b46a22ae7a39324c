"""``/api/reports``: for programs of the shop."""

import uuid
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, Literal

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils import timezone
from ninja import Path, Router, Schema
from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from app.api.addresses import address_of
from app.api.errors import FieldError, Problem
from app.api.idempotency import Answer, IdempotencyKey, answer_once
from app.api.paging import Cursor, Limit, page_of
from app.api.problems import problem_responses, standard_problem
from app.api.schemas import RequestBody
from app.engine.progress.reading import Progress, read_many
from app.workload.reports import services
from app.workload.reports.errors import DepartmentUnknown
from app.workload.reports.models import Report
from app.workload.reports.position import STEPS
from app.workload.reports.story import file_link

router = Router(tags=["reports"])

LONGEST_PERIOD = timedelta(days=3660)
_EXAMPLE_ID = "7f7c4a3e-0a4e-4d7b-9d0e-2f6f3c1f9a11"
_EXAMPLE_REQUEST: dict[str, Any] = {"department": "garden", "first_day": "2026-01-01", "last_day": "2026-03-31"}


def _read_day(value: object) -> object:
    """Strictly ``YYYY-MM-DD``: no moments, no numbers, none of the other forms of ISO 8601."""
    try:
        day = date.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        day = None
    if day is None or day.isoformat() != value:
        raise ValueError("expected a day such as 2026-01-31")
    return day


Day = Annotated[date, BeforeValidator(_read_day)]


class ReportRequest(RequestBody):
    """About what, and about when. A day must be over (UTC) before it can be reported."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE_REQUEST]})

    department: Annotated[
        str | None, Field(min_length=1, max_length=40, pattern=r"^[-a-zA-Z0-9_]+$", description="Its code. Without one: the whole shop.")
    ] = None
    first_day: Day
    last_day: Day

    @model_validator(mode="after")
    def _check_period(self) -> "ReportRequest":
        if self.last_day < self.first_day:
            raise ValueError("expected last_day to be first_day or later")
        if self.last_day >= timezone.now().astimezone(UTC).date():
            raise ValueError("expected last_day to be over: yesterday (UTC) or earlier")
        if self.last_day - self.first_day > LONGEST_PERIOD:
            raise ValueError(f"expected a period of at most {LONGEST_PERIOD.days} days")
        return self


class ProgressAnswer(Schema):
    """How far it is. No number falls, though a run that was killed repeats a little."""

    percent: int | None
    step: int
    steps: int
    rows: int = Field(description="Rows that are read.")
    label: str = Field(examples=["step 2 of 6: reading returns"])
    updated_at: datetime


class FileAnswer(Schema):
    bytes: int
    link: str = Field(description="Redirects to the file, for whoever may read the report.", examples=[f"/api/reports/{_EXAMPLE_ID}/xlsx"])


class Links(Schema):
    self: str = Field(examples=[f"/api/reports/{_EXAMPLE_ID}"])


class ReportAnswer(Schema):
    """A report as it is now."""

    id: uuid.UUID = Field(examples=[_EXAMPLE_ID])
    kind: Report.Kind
    state: Report.State = Field(description="`requested` and `running` are on their way; `done` and `failed` are final.")
    department: str | None
    first_day: date
    last_day: date
    progress: ProgressAnswer | None = Field(description="null before the first run, and long after the last.")
    files: dict[str, FileAnswer] = Field(description="Of a finished report, by format.")
    totals: dict[str, dict[str, int]] = Field(description="Of a finished report: rows and amount in cents of each source.")
    bytes: int
    duration_seconds: float | None
    interruptions: int = Field(description="How often the time limit cut it; each time it went on where it was.")
    failure: str | None
    created_at: datetime
    updated_at: datetime
    finished_at: datetime | None
    links: Links


class ReportPage(Schema):
    """Some reports, newest first."""

    items: list[ReportAnswer]
    next_cursor: str | None = Field(description="Send it as `cursor` to get the next page; null on the last.")


@router.post(
    "",
    response={201: ReportAnswer},
    summary="Request a report",
    url_name="reports",
    openapi_extra=problem_responses(400, 401, 409, 413, 415, 422, 503),
)
def create_report(request: HttpRequest, payload: ReportRequest, idempotency_key: IdempotencyKey = None) -> HttpResponse:
    """Accept a report and make it in the background. The answer comes before the report: follow `links.self`."""
    return answer_once(request, idempotency_key, lambda: _accept(request, payload))


@router.get("", response=ReportPage, summary="List reports", openapi_extra=problem_responses(401, 422, 503))
def list_reports(
    request: HttpRequest,
    limit: Limit = 20,
    cursor: Cursor = None,
) -> ReportPage:
    """The token owner's reports, newest first. Reports that arrive meanwhile do not shift the pages."""
    reports = Report.objects.filter(owner_id=request.user.pk)
    page, next_cursor = page_of(reports, limit=limit, cursor=cursor)
    shown = read_many([report.work for report in page])
    return ReportPage(
        items=[_answer(request, report, shown.get(report.work)) for report in page],
        next_cursor=next_cursor,
    )


@router.get(
    "/{report_id}",
    response=ReportAnswer,
    summary="Read a report",
    url_name="report",
    openapi_extra=problem_responses(401, 404, 422, 503),
)
def read_report(request: HttpRequest, report_id: uuid.UUID) -> ReportAnswer:
    """A report of the token's owner, with its progress; for staff any. Others' reports are not there."""
    report = _visible(request, report_id)
    return _answer(request, report, read_many([report.work]).get(report.work))


@router.get(
    "/{report_id}/{kind}",
    response={302: None},
    summary="Download a report",
    url_name="report-file",
    openapi_extra=problem_responses(401, 404, 422, 503),
)
def download_report(
    request: HttpRequest,
    report_id: uuid.UUID,
    kind: Annotated[Literal["csv", "xlsx", "pdf"], Path(description="Its format.")],
) -> HttpResponse:
    """Redirects to the file in the storage, by a link that is good for five minutes. Do not send your token there."""
    report = _visible(request, report_id)
    if kind not in report.files:
        reason = "It has none of that format." if report.state == Report.State.DONE else f"It is {report.state}."
        raise Problem(404, detail=f"The report {report_id} has no {kind} file to download. {reason}")
    return HttpResponseRedirect(file_link(report, kind), headers={"Cache-Control": "no-store"})


def _accept(request: HttpRequest, payload: ReportRequest) -> Answer:
    if not request.user.is_authenticated:
        raise standard_problem(401)
    try:
        report = services.request_report(
            owner=request.user, department_code=payload.department, first_day=payload.first_day, last_day=payload.last_day
        )
    except DepartmentUnknown as error:
        refused = FieldError(where="body", field="department", reason=str(error))
        raise Problem(422, detail="Some fields cannot be accepted.", errors=[refused]) from error
    return Answer(status=201, body=_answer(request, report, None).model_dump(mode="json"))


def _visible(request: HttpRequest, report_id: uuid.UUID) -> Report:
    reports: QuerySet[Report] = Report.objects.all()
    if not getattr(request.user, "is_staff", False):
        reports = reports.filter(owner_id=request.user.pk)
    report = reports.filter(pk=report_id).first()
    if report is None:
        raise Problem(404, detail=f"You have no report {report_id}.")
    return report


def _answer(request: HttpRequest, report: Report, progress: Progress | None) -> ReportAnswer:
    duration = report.duration
    return ReportAnswer(
        id=report.pk,
        kind=Report.Kind(report.kind),
        state=Report.State(report.state),
        department=report.department_id,
        first_day=report.first_day,
        last_day=report.last_day,
        progress=None if progress is None else _progress(progress),
        files={
            kind: FileAnswer(bytes=file["bytes"], link=address_of(request, "report-file", report_id=report.pk, kind=kind))
            for kind, file in report.files.items()
        },
        totals=report.totals,
        bytes=report.size_bytes,
        duration_seconds=None if duration is None else duration.total_seconds(),
        interruptions=report.interruptions,
        failure=report.failure_reason or None,
        created_at=report.created_at,
        updated_at=report.updated_at,
        finished_at=report.finished_at,
        links=Links(self=address_of(request, "report", report_id=report.pk)),
    )


def _progress(progress: Progress) -> ProgressAnswer:
    return ProgressAnswer(
        percent=progress.percent,
        step=progress.counts.get("step", 1),
        steps=STEPS,
        rows=progress.counts.get("rows", 0),
        label=progress.label,
        updated_at=progress.updated_at,
    )
