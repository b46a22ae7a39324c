"""The first page. ``overview_live`` is the part of it that the page asks for again every few seconds."""

from concurrent.futures import Future
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from django.db import Error as DatabaseError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from app.console.overview import Overview, Section, judge, queue_rows, worker_rows
from app.console.permissions import staff_only
from app.console.readings import workers_reading
from app.engine.aws.queue_depth import read_queue_depths
from app.engine.conf import engine_settings
from app.engine.errors import EngineError
from app.engine.ledger.search import latest_tasks
from app.engine.outbox.lag import OutboxLag, read_outbox_lag
from app.engine.schedules.report import ScheduleSummary, read_summary
from app.engine.shared_reading import SharedReading

T = TypeVar("T")

LATEST_TASKS = 20
#: Of the schedule, what was missed in this time is shown.
LATELY = timedelta(days=1)

_queues = SharedReading(lambda: read_queue_depths(engine_settings()))
_tasks = SharedReading(lambda: latest_tasks(engine_settings(), LATEST_TASKS))


@require_safe
@staff_only
@never_cache
def overview(request: HttpRequest) -> HttpResponse:
    return render(request, "console/overview.html", _page())


@require_safe
@staff_only
@never_cache
def overview_live(request: HttpRequest) -> HttpResponse:
    return render(request, "console/overview_live.html", _page() | {"is_refresh": True})


def _page() -> dict[str, Any]:
    topology = engine_settings().topology
    overview = _read()
    return {
        "overview": overview,
        "verdict": judge(overview, topology),
        "rows": queue_rows(overview, topology),
        "workers": worker_rows(overview),
    }


def _read() -> Overview:
    queues, workers, tasks = _queues.begin(), workers_reading.begin(), _tasks.begin()
    # The database is asked meanwhile, on the request's own connection.
    outbox = _outbox(datetime.now(UTC))
    schedule = _schedule(datetime.now(UTC))
    return Overview(
        queues=_section(_queues, queues),
        outbox=outbox,
        schedule=schedule,
        workers=_section(workers_reading, workers),
        tasks=_section(_tasks, tasks),
        at=datetime.now(UTC),
    )


def _section(source: SharedReading[T], reading: "Future[T]") -> Section[T]:
    """What the engine raises on purpose becomes the section's error."""
    try:
        return Section(data=source.wait(reading))
    except EngineError as error:
        return Section(error=str(error) or type(error).__name__)


def _outbox(now: datetime) -> Section[OutboxLag]:
    try:
        return Section(data=read_outbox_lag(now))
    except DatabaseError as error:
        return Section(error=f"Could not read the outbox: {error}")


def _schedule(now: datetime) -> Section[ScheduleSummary]:
    try:
        return Section(data=read_summary(now - LATELY))
    except DatabaseError as error:
        return Section(error=f"Could not read the schedule: {error}")
