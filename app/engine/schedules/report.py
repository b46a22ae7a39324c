"""What the schedule is doing, for a person."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count, Q, Sum
from django.db.models.functions import Now
from django_celery_beat.models import PeriodicTask, PeriodicTasks

from app.engine.schedules.entries import WITH_SCHEDULES, counted_from, due_times_of
from app.engine.schedules.errors import NeverDue
from app.engine.schedules.missed import Missed
from app.engine.schedules.models import Leadership, Occurrence


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


def read_entries() -> list[EntryReport]:
    """Every entry, by name. Raises Django's database errors."""
    changed_at = PeriodicTasks.last_change()
    entries = list(PeriodicTask.objects.select_related(*WITH_SCHEDULES, "state").order_by("name"))
    last = {each.schedule: each for each in Occurrence.objects.order_by("schedule", "-due_at").distinct("schedule")}
    missed = _missed_counts()
    return [_report(entry, last.get(entry.name), missed.get(entry.name, 0), changed_at) for entry in entries]


def _missed_counts() -> dict[str, int]:
    skipped = Count("pk", filter=Q(outcome=Occurrence.Outcome.SKIPPED))
    counts = Occurrence.objects.values_list("schedule").annotate(others=Sum("left_out"), own=skipped)
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
        missed=Missed(state.missed) if state is not None else Missed.ONE,
        last_due=None if last is None else last.due_at,
        last_outcome="" if last is None else last.outcome,
        next_due=next_due,
        missed_count=missed_count,
        problem=problem,
    )
