"""What is done with reports."""

import logging
import uuid
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from typing import Any

from celery.exceptions import SoftTimeLimitExceeded
from django.contrib.auth.models import AbstractBaseUser
from django.db import DEFAULT_DB_ALIAS, connections, transaction
from django.db.models import F
from django.db.models.functions import Coalesce, Now
from django.utils import timezone

from app.engine.outbox.publisher import publish
from app.engine.progress import checkpoints
from app.engine.progress.checkpoints import Track
from app.engine.progress.reading import read_many
from app.workload.reports import documents, files, generating
from app.workload.reports.errors import DepartmentUnknown, ReportUnknown
from app.workload.reports.models import Department, Report
from app.workload.reports.position import Position
from app.workload.reports.sources import SOURCES

logger = logging.getLogger(__name__)

UNTOUCHED_FOR = timedelta(minutes=10)
KEPT_FOR = timedelta(days=90)
MOST_STARTS = 100
MOST_FRUITLESS = 3
#: Of a notification.
_LONGEST_WORDS = 200
UNFINISHED = (Report.State.REQUESTED, Report.State.RUNNING)
_TASKS = {Report.Kind.LARGE: "reports.generate_large_report", Report.Kind.DAILY: "reports.generate_report_pdf"}


def request_report(*, owner: AbstractBaseUser, department_code: str | None, first_day: date, last_day: date) -> Report:
    """Accept a report: the row and the message that makes it are there together or not at all.

    Raises :class:`DepartmentUnknown`. Without a department it is about the whole shop.
    """
    with transaction.atomic():
        if department_code is not None and not Department.objects.filter(pk=department_code).exists():
            raise DepartmentUnknown(f"There is no department {department_code!r}.")
        report = Report.objects.create(owner_id=owner.pk, department_id=department_code, first_day=first_day, last_day=last_day)
        publish(_TASKS[Report.Kind.LARGE], report_id=str(report.pk))
    return report


def generate_large_report(report_id: str, request: Any) -> Report:
    """Make a report, or go on with it, until it is done or the time limit says that it is enough for now.

    The time limit is no failure and no attempt: the work is enqueued again, as another job, and goes on after its last checkpoint. Raises
    :class:`~app.engine.progress.errors.Overtaken` when another run has taken the work.
    """
    report = _begin(report_id)
    if report.is_final:
        return report
    with checkpoints.take(report.work, request) as track:
        try:
            position = generating.find_position(report, track)
            position = generating.read_sources(report, track, position)
            position = generating.write_files(report, track, position)
            _finish(report, track, position)
        except SoftTimeLimitExceeded:
            # It was raised anywhere, also in the middle of a query or of a commit: nothing is known of this connection.
            _connect_anew()
            _go_on_later(report, track)
    report.refresh_from_db()
    return report


def generate_daily_reports(day: date) -> int:
    """One report of that day for each active department, and a job for each new one. Returns how many are new."""
    new = 0
    for department in Department.objects.filter(is_active=True):
        with transaction.atomic():
            report, is_new = Report.objects.get_or_create(
                kind=Report.Kind.DAILY, department=department, last_day=day, defaults={"first_day": day}
            )
            if is_new:
                publish(_TASKS[Report.Kind.DAILY], report_id=str(report.pk))
        new += is_new
    return new


def generate_report_pdf(report_id: str, request: Any) -> Report:
    """Make the one page of a daily report. A run that was overtaken stores its page beside the other's, and nobody finds it."""
    report = _begin(report_id)
    if report.is_final:
        return report
    with checkpoints.take(report.work, request) as track:
        totals = {source.name: source.totals(report) for source in SOURCES}
        content = documents.pdf_summary(report, totals)
        name = files.store_bytes(report.pk, track.fence, "report.pdf", content)
        rows = sum(counted["rows"] for counted in totals.values())
        _finish(report, track, Position(expected=rows, rows=rows).with_file("pdf", name, len(content)), totals)
    report.refresh_from_db()
    return report


def delete_parts(report_id: str) -> int:
    """Delete what the runs of a finished report have left in the storage, and return how many files that were."""
    report = _find(report_id)
    if not report.is_final:
        return 0
    deleted = files.delete_all_but(report.pk, {file["name"] for file in report.files.values()})
    report.parts.all().delete()
    return deleted


def forget_old_reports(limit: int = 100) -> int:
    """Delete final reports that were asked for more than 90 days ago, have their files deleted, and return how many reports that were."""
    with transaction.atomic():
        old = Report.objects.filter(created_at__lt=timezone.now() - KEPT_FOR).exclude(state__in=UNFINISHED)
        found = list(old.order_by("created_at").select_for_update(skip_locked=True)[:limit])
        for report in found:
            publish("reports.delete_files", report_id=str(report.pk))
            report.delete()
    return len(found)


def delete_files(report_id: str) -> int:
    """Delete the files of a report that is gone, and return how many that were; none of one that is there."""
    pk = _parse_id(report_id)
    return 0 if Report.objects.filter(pk=pk).exists() else files.delete_all_but(pk, ())


def resume_unfinished(limit: int = 100) -> int:
    """Publish reports again that nobody has touched for ten minutes, the longest waiting first, and return how many.

    One that was begun a hundred times and is not done will not be: it has failed.
    """
    resumed = 0
    with transaction.atomic():
        old = Report.objects.filter(state__in=UNFINISHED, updated_at__lt=timezone.now() - UNTOUCHED_FOR)
        found = list(old.order_by("updated_at").select_for_update(skip_locked=True)[:limit])
        shown = read_many([report.work for report in found])
        for report in found:
            touched = shown[report.work].updated_at if report.work in shown else report.updated_at
            if touched >= timezone.now() - UNTOUCHED_FOR:
                report.updated_at = touched
                report.save(update_fields=["updated_at"])
            elif report.starts >= MOST_STARTS:
                _fail(report, f"It was begun {report.starts} times and never came to its end.")
            else:
                publish(_TASKS[Report.Kind(report.kind)], report_id=str(report.pk))
                report.updated_at = timezone.now()
                report.save(update_fields=["updated_at"])
                resumed += 1
    return resumed


def _find(report_id: str) -> Report:
    try:
        return Report.objects.select_related("department").get(pk=_parse_id(report_id))
    except Report.DoesNotExist as error:
        raise ReportUnknown(f"There is no report {report_id!r}. Discard this job.") from error


def _parse_id(report_id: str) -> uuid.UUID:
    try:
        return uuid.UUID(report_id)
    except (ValueError, TypeError, AttributeError) as error:
        raise ReportUnknown(f"There is no report {report_id!r}. Discard this job.") from error


def _begin(report_id: str) -> Report:
    report = _find(report_id)
    # | requested, running ── begin ──▶ running, begun once more |  done, failed ──▶ unchanged |
    Report.objects.filter(pk=report.pk, state__in=UNFINISHED).update(
        state=Report.State.RUNNING, starts=F("starts") + 1, started_at=Coalesce("started_at", Now()), updated_at=Now()
    )
    report.refresh_from_db()
    return report


def _finish(report: Report, track: Track, position: Position, totals: dict[str, dict[str, int]] | None = None) -> None:
    with transaction.atomic():
        # | running ── finish, as the last to take the work ──▶ done |  done, failed ──▶ unchanged |
        is_first = Report.objects.filter(pk=report.pk, state=Report.State.RUNNING).update(
            state=Report.State.DONE,
            files=dict(position.files),
            totals=generating.totals_of(report) if totals is None else totals,
            finished_at=Now(),
            updated_at=Now(),
        )
        if is_first and report.owner_id is not None:
            _tell_owner(report)
        track.save(
            state=position.as_state(), current=position.total, total=position.total, label="finished", counts={"rows": position.rows}
        )
        publish("reports.delete_parts", report_id=str(report.pk))


def _tell_owner(report: Report) -> None:
    context = {"report_id": str(report.pk), "title": str(report)[:_LONGEST_WORDS]}
    publish("notifications.user_notification", user_id=report.owner_id, kind="report_ready", context=context)


def _go_on_later(report: Report, track: Track) -> None:
    """Enqueue the work again, if this run still holds it; end it if no step of it fits into the time limit."""
    saved = checkpoints.load(report.work)
    with transaction.atomic():
        # A run that was cut before its first checkpoint has come nowhere, and the next one may.
        position = Position.from_state(saved.state).interrupted() if saved is not None else Position(expected=0)
        if saved is not None:
            generating.save(track, position)
        # | running ── interrupted ──▶ running, and enqueued |  done, failed ──▶ unchanged |
        still_running = Report.objects.filter(pk=report.pk, state=Report.State.RUNNING)
        if position.fruitless >= MOST_FRUITLESS:
            _fail(report, f"{MOST_FRUITLESS + 1} runs in succession reached the time limit at step {position.step} without coming further.")
        elif still_running.update(interruptions=F("interruptions") + 1, updated_at=Now()):
            publish(_TASKS[Report.Kind.LARGE], report_id=str(report.pk))
    logger.info("report interrupted", extra={"report": str(report.pk), "current": position.current, "fruitless": position.fruitless})


def _fail(report: Report, reason: str) -> None:
    # | requested, running ──▶ failed |  done, failed ──▶ unchanged |
    failed = Report.objects.filter(pk=report.pk, state__in=UNFINISHED).update(
        state=Report.State.FAILED, failure_reason=reason, finished_at=Now(), updated_at=Now()
    )
    if failed:
        publish("reports.delete_parts", report_id=str(report.pk))


def _connect_anew() -> None:
    with suppress(Exception):
        connections[DEFAULT_DB_ALIAS].close()
    del connections[DEFAULT_DB_ALIAS]


def yesterday(due_at: str | None) -> date:
    """Of the due time for which a job was sent, or of now."""
    moment = datetime.fromisoformat(due_at) if due_at else timezone.now()
    return (moment.astimezone(UTC) - timedelta(days=1)).date()
