"""Pages for the staff of the shop. ``report_live`` is the part of a page that it asks for again every few seconds."""

import uuid
from collections.abc import Callable
from typing import Any, TypeVar

from django.contrib.admin.views.decorators import staff_member_required
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from app.engine.progress.reading import read, read_many
from app.workload.reports import story
from app.workload.reports.models import Report

_PER_PAGE = 50
V = TypeVar("V", bound=Callable[..., HttpResponse])


def _staff_only(view: V) -> V:
    return staff_member_required(view, login_url="login")


@require_safe
@_staff_only
@never_cache
def report_list(request: HttpRequest) -> HttpResponse:
    """All reports, newest first; ``?state=`` shows those of one state."""
    state = request.GET.get("state", "")
    reports = Report.objects.select_related("owner", "department").order_by("-created_at", "-id")
    if state in Report.State.values:
        reports = reports.filter(state=state)
    else:
        state = ""
    page = Paginator(reports, _PER_PAGE).get_page(request.GET.get("page"))
    shown = read_many([report.work for report in page])
    rows = [(report, story.TONES[Report.State(report.state)], shown.get(report.work)) for report in page]
    return render(request, "reports/list.html", {"page": page, "rows": rows, "state": state, "states": Report.State.choices})


@require_safe
@_staff_only
@never_cache
def report_detail(request: HttpRequest, report_id: uuid.UUID) -> HttpResponse:
    return render(request, "reports/detail.html", _page(report_id))


@require_safe
@_staff_only
@never_cache
def report_live(request: HttpRequest, report_id: uuid.UUID) -> HttpResponse:
    return render(request, "reports/live.html", _page(report_id) | {"is_refresh": True})


@require_safe
@_staff_only
@never_cache
def report_file(
    request: HttpRequest,  # noqa: ARG001 — Django passes it to each view
    report_id: uuid.UUID,
    kind: str,
) -> HttpResponse:
    """Redirects to the file, by a link that is good for five minutes."""
    report = get_object_or_404(Report, pk=report_id)
    if kind not in report.files:
        raise Http404
    return HttpResponseRedirect(story.file_link(report, kind))


def _page(report_id: uuid.UUID) -> dict[str, Any]:
    report = get_object_or_404(Report.objects.select_related("owner", "department"), pk=report_id)
    progress = read(report.work)
    return {
        "report": report,
        "progress": progress,
        "tone": story.TONES[Report.State(report.state)],
        "sentence": story.now(report, progress),
        "lines": story.lines(report),
        "files": [(kind, story.size(file["bytes"])) for kind, file in report.files.items()],
        "took": story.took(report.duration),
        "at": timezone.now(),
    }
