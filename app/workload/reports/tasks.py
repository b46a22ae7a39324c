from typing import Any

from celery import shared_task

from app.workload.reports import services
from app.workload.reports.models import Report
from app.workload.reports.story import address


@shared_task(name="reports.generate_large_report", bind=True)
def generate_large_report(self: Any, *, report_id: str) -> dict[str, Any]:
    """Make a report, or go on with it.

    Twice: a final report is left alone, and of two runs at once the later one goes on, the other is refused at its next word. Killed
    half-way: the next run goes on after the last part or file that was stored and committed. Time limit: it enqueues itself again.
    """
    return _told(services.generate_large_report(report_id, self.request))


@shared_task(name="reports.generate_report_pdf", bind=True)
def generate_report_pdf(self: Any, *, report_id: str) -> dict[str, Any]:
    """Make the page of a daily report. Twice: a final report is left alone. Killed half-way: it is made again, under another name."""
    return _told(services.generate_report_pdf(report_id, self.request))


@shared_task(name="reports.generate_daily_reports", bind=True)
def generate_daily_reports(self: Any) -> int:
    """Yesterday's report for each active department. Twice: the day's reports are unique. Killed half-way: each report and its job are
    one transaction, and the next run makes the missing ones."""
    return services.generate_daily_reports(services.yesterday((self.request.headers or {}).get("due_at")))


@shared_task(name="reports.delete_parts")
def delete_parts(*, report_id: str) -> int:
    """Delete what the runs of a finished report have left. Twice or killed half-way: what is gone is gone, and the rest goes then."""
    return services.delete_parts(report_id)


@shared_task(name="reports.delete_files")
def delete_files(*, report_id: str) -> int:
    """Delete the files of a report that is gone. Twice or killed half-way: what is gone is gone, and the rest goes then."""
    return services.delete_files(report_id)


@shared_task(name="reports.forget_old_reports")
def forget_old_reports() -> int:
    """Delete reports of more than 90 days. Twice: others go. Killed: rows and the jobs that delete their files are one transaction."""
    return services.forget_old_reports()


@shared_task(name="reports.resume_unfinished")
def resume_unfinished() -> int:
    """Publish forgotten reports again. Twice: what was just published is not forgotten any more. Killed: it is one transaction."""
    return services.resume_unfinished()


def _told(report: Report) -> dict[str, Any]:
    duration = report.duration
    return {
        "report_id": str(report.pk),
        "state": report.state,
        "url": address(report),
        "bytes": report.size_bytes,
        "seconds": None if duration is None else round(duration.total_seconds(), 3),
    }
