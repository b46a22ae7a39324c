"""What the schedule is doing, for a person."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, Q, QuerySet, Sum
from django.db.models.functions import Now
from django_celery_beat.models import PeriodicTask, PeriodicTasks
from kombu.utils.json import loads

from app.engine.schedules.declared import DECLARED
from app.engine.schedules.entries import WITH_SCHEDULES, counted_from, due_times_of
from app.engine.schedules.errors import NeverDue
from app.engine.schedules.missed import Missed
from app.engine.schedules.models import Leadership, Occurrence
from app.engine.schedules.periodic_tasks import CRONTAB_FIELDS


@dataclass(frozen=True, kw_only=True, slots=True)
class LeaderReport:
    leader: str
    fence: int
    since: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class EntryReport:
    name: str
    task: str
    is_enabled: bool
    is_declared: bool
    """By the code; otherwise somebody made it while the system ran."""
    every: timedelta | None
    crontab: str
    """Five fields; empty for any other schedule."""
    zone: str
    """On whose clock the crontab is read."""
    args: list[Any]
    kwargs: dict[str, Any]
    missed: Missed
    """The policy."""
    last_due: datetime | None
    last_outcome: str
    """Of ``last_due``; empty if nothing was ever decided, or too long ago."""
    next_due: datetime | None
    """In the past, if no beat has acted since."""
    missed_count: int
    """Due times that were missed and not sent, of those that are still known."""
    problem: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ScheduleSummary:
    leader: LeaderReport | None
    entries: int
    """Those that are switched on."""
    missed: int
    """Due times that were missed and not sent, of those decided since the moment that was asked for."""
    refused: int


def read_summary(since: datetime) -> ScheduleSummary:
    """The schedule at a glance: three small queries. Raises Django's database errors."""
    lately = Occurrence.objects.filter(decided_at__gte=since)
    skipped, refused = (Count("pk", filter=Q(outcome=outcome)) for outcome in (Occurrence.Outcome.SKIPPED, Occurrence.Outcome.REFUSED))
    figures = lately.aggregate(others=Sum("left_out", default=0), own=skipped, refused=refused)
    return ScheduleSummary(
        leader=read_leader(),
        entries=PeriodicTask.objects.filter(enabled=True).count(),
        missed=figures["others"] + figures["own"],
        refused=figures["refused"],
    )


def read_leader() -> LeaderReport | None:
    """Who leads now; ``None`` if nobody does. Raises Django's database errors."""
    row = Leadership.objects.exclude(leader="").filter(held_until__gt=Now()).first()
    return None if row is None else LeaderReport(leader=row.leader, fence=row.fence, since=row.since)


def read_entries(*, name: str | None = None) -> list[EntryReport]:
    """Every entry, by name, or the one of that name. Raises Django's database errors."""
    changed_at = PeriodicTasks.last_change()
    rows = PeriodicTask.objects.all() if name is None else PeriodicTask.objects.filter(name=name)
    entries = list(rows.select_related(*WITH_SCHEDULES, "state").order_by("name"))
    decided = Occurrence.objects.all() if name is None else Occurrence.objects.filter(schedule=name)
    last = {each.schedule: each for each in decided.order_by("schedule", "-due_at").distinct("schedule")}
    missed = _missed_counts(decided)
    return [_report(entry, last.get(entry.name), missed.get(entry.name, 0), changed_at) for entry in entries]


def _missed_counts(decided: "QuerySet[Occurrence]") -> dict[str, int]:
    skipped = Count("pk", filter=Q(outcome=Occurrence.Outcome.SKIPPED))
    counts = decided.values_list("schedule").annotate(others=Sum("left_out"), own=skipped)
    return {schedule: others + own for schedule, others, own in counts}


def _report(entry: Any, last: Occurrence | None, missed_count: int, changed_at: datetime | None) -> EntryReport:
    state = getattr(entry, "state", None)
    next_due, problem = None, last.reason if last is not None else ""
    if entry.enabled:
        try:
            due_times = due_times_of(entry)
            next_due = due_times.following(counted_from(entry, due_times.pattern, changed_at=changed_at))
        except NeverDue as error:
            problem = str(error)
    if next_due is not None and entry.expires is not None and next_due > entry.expires:
        next_due = None
    return EntryReport(
        name=entry.name,
        task=entry.task,
        is_enabled=entry.enabled,
        is_declared=entry.description == DECLARED,
        every=timedelta(**{entry.interval.period: entry.interval.every}) if entry.interval else None,
        crontab=" ".join(getattr(entry.crontab, field) for field in CRONTAB_FIELDS) if entry.crontab else "",
        zone=str(entry.crontab.timezone) if entry.crontab else "",
        args=_read(entry.args, []),
        kwargs=_read(entry.kwargs, {}),
        missed=Missed(state.missed) if state is not None else Missed.ONE,
        last_due=None if last is None else last.due_at,
        last_outcome="" if last is None else last.outcome,
        next_due=next_due,
        missed_count=missed_count,
        problem=problem,
    )


def _read(text: str, empty: Any) -> Any:
    """Arguments as somebody typed them in the admin; what cannot be read is shown as nothing, and refused when it is due."""
    try:
        found = loads(text or "null")
    except ValueError:
        return empty
    return found if isinstance(found, type(empty)) else empty
