"""A report for its page and its answer: what is shown, and where its files are."""

from dataclasses import dataclass
from datetime import timedelta

from django.urls import reverse

from app.engine.progress.reading import Progress
from app.workload.reports.documents import CONTENT_TYPES
from app.workload.reports.files import link
from app.workload.reports.models import Report
from app.workload.reports.money import written
from app.workload.reports.sources import SOURCES

#: State → modifier of the badge's class.
TONES = {
    Report.State.REQUESTED: "idle",
    Report.State.RUNNING: "busy",
    Report.State.DONE: "ok",
    Report.State.FAILED: "bad",
}
_KIBI = 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """Of a finished report's table."""

    title: str
    rows: int
    amount: str


def lines(report: Report) -> list[Line]:
    """What was found in each source, and what is left; nothing before the report is done."""
    if not report.totals:
        return []
    told = [(source, report.totals[source.name]) for source in SOURCES]
    left = sum(source.sign * found["amount_minor"] for source, found in told)
    return [
        *(Line(title=source.title, rows=found["rows"], amount=written(source.sign * found["amount_minor"])) for source, found in told),
        Line(title="Result", rows=sum(found["rows"] for _, found in told), amount=written(left)),
    ]


def now(report: Report, progress: Progress | None) -> str:
    """One sentence about where it is."""
    if report.state == Report.State.FAILED:
        return report.failure_reason
    if report.state == Report.State.DONE:
        return "All files are stored."
    if progress is None or not progress.label:
        return "Waiting for a worker."
    return f"{progress.label[:1].upper()}{progress.label[1:]}."


def size(count: int) -> str:
    """Bytes, for people."""
    amount, unit = float(count), "bytes"
    for larger in ("KiB", "MiB", "GiB"):
        if amount < _KIBI:
            break
        amount, unit = amount / _KIBI, larger
    return f"{amount:,.0f} {unit}" if unit == "bytes" else f"{amount:,.1f} {unit}"


def took(duration: timedelta | None) -> str:
    return "" if duration is None else f"{timedelta(seconds=round(duration.total_seconds()))}" if duration.seconds else "less than a second"


def address(report: Report) -> str:
    """Of its richest file, for programs; nothing before it is done."""
    kind = next((kind for kind in ("xlsx", "pdf") if kind in report.files), None)
    return "" if kind is None else reverse("api:report-file", kwargs={"report_id": report.pk, "kind": kind})


def file_link(report: Report, kind: str) -> str:
    """Where the file is, for five minutes."""
    about = "shop" if report.department_id is None else report.department_id
    file_name = f"{about}-{report.first_day}-{report.last_day}.{kind}"
    return link(report.files[kind]["name"], content_type=CONTENT_TYPES[kind], file_name=file_name)
