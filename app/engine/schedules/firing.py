"""From a due time to a job in the outbox, in one transaction."""

import logging
import uuid
from datetime import UTC, datetime
from functools import partial
from typing import Any

from celery import Celery
from django.db import InterfaceError, OperationalError, transaction
from django.db.models import F
from django_celery_beat.models import PeriodicTask, PeriodicTasks
from kombu.utils.json import loads

from app.engine.schedules.due_times import DueTimes
from app.engine.schedules.entries import WITH_SCHEDULES, counted_from, due_times_of
from app.engine.schedules.leadership import Candidate
from app.engine.schedules.missed import Decision, Missed, decide
from app.engine.schedules.models import EntryState, Occurrence

logger = logging.getLogger(__name__)

_OCCURRENCES = uuid.UUID("5d0f3f0e-6b0e-4f4e-8d6a-3b1f0a5f7c11")
#: Columns that Celery takes as options of the message.
_OPTIONS = ("queue", "exchange", "routing_key", "priority")


def task_id_of(schedule: str, due_at: datetime) -> str:
    """The id of the job of one occurrence: the same, whoever computes it."""
    return str(uuid.uuid5(_OCCURRENCES, f"{schedule} {due_at.astimezone(UTC).isoformat()}"))


def settle(app: Celery, candidate: Candidate, entry_id: int, *, now: datetime) -> datetime | None:
    """Decide each due time of an entry up to ``now``, publish what is to be sent, and return when it is due next.

    Each due time is sent once, whatever happens: its occurrence, its message in the outbox and the advance of the entry are
    committed together, or not at all. Raises :class:`~app.engine.schedules.errors.LeadershipLost`,
    :class:`~app.engine.schedules.errors.NeverDue` and Django's database errors.
    """
    with candidate.acting() as fence:
        entry = PeriodicTask.objects.select_for_update(of=("self",)).select_related(*WITH_SCHEDULES, "state").filter(pk=entry_id).first()
        if entry is None or not entry.enabled:
            return None
        due_times = due_times_of(entry)
        begin = counted_from(entry, due_times.pattern, changed_at=PeriodicTasks.last_change())
        state = getattr(entry, "state", None)
        if state is None or state.pattern != due_times.pattern:
            state, _ = EntryState.objects.update_or_create(entry=entry, defaults={"pattern": due_times.pattern})
        until = min(now, entry.expires) if entry.expires else now
        decision = decide(due_times.pending(begin, until), missed=Missed(state.missed), now=now)
        _carry_out(app, entry, decision, fence)
        return _advance(entry, due_times, decision, begin, now)


def _carry_out(app: Celery, entry: Any, decision: Decision, fence: int) -> None:
    # Decided before the entry was wound back: by hand, or by a form that was saved while the job was sent.
    already = set(Occurrence.objects.filter(schedule=entry.name, due_at__in=decision.named).values_list("due_at", flat=True))
    left_out = decision.left_out
    if decision.skipped is not None and decision.skipped not in already:
        _record(entry, decision.skipped, Occurrence.Outcome.SKIPPED, fence, left_out=left_out)
    for due_at in decision.sent:
        if due_at not in already:
            _send(app, entry, due_at, fence, left_out=left_out)
        left_out = 0
    if decision.left_out or decision.skipped:
        logger.warning(
            "due times missed",
            extra={"schedule": entry.name, "left_out": decision.left_out + bool(decision.skipped), "sent": len(decision.sent)},
        )


def _send(app: Celery, entry: Any, due_at: datetime, fence: int, *, left_out: int) -> None:
    task_id = task_id_of(entry.name, due_at)
    try:
        with transaction.atomic():
            _publish(app, entry, due_at, task_id)
    except (OperationalError, InterfaceError):
        raise
    except Exception as error:  # noqa: BLE001 — arguments that the task does not take, an unknown task: the entry's fault, and no other's
        reason = f"{type(error).__name__}: {error}"
        _record(entry, due_at, Occurrence.Outcome.REFUSED, fence, left_out=left_out, reason=reason)
        logger.error("beat cannot send", extra={"schedule": entry.name, "task": entry.task, "reason": reason})  # noqa: TRY400 — no fault of ours
        return
    _record(entry, due_at, Occurrence.Outcome.SENT, fence, left_out=left_out, task_id=task_id)
    logger.info("due", extra={"schedule": entry.name, "task": entry.task, "task_id": task_id, "due_at": due_at.isoformat()})


def _publish(app: Celery, entry: Any, due_at: datetime, task_id: str) -> None:
    """With the words of Celery's beat. In a transaction, our application writes to the outbox."""
    args, kwargs, headers = (loads(text or empty) for text, empty in ((entry.args, "[]"), (entry.kwargs, "{}"), (entry.headers, "{}")))
    options = {name: value for name in _OPTIONS if (value := getattr(entry, name)) is not None}
    if entry.expires or entry.expire_seconds:
        options["expires"] = entry.expires or entry.expire_seconds
    headers |= {"periodic_task_name": entry.name, "celery_beat_task": True, "due_at": due_at.isoformat()}
    task = app.tasks.get(entry.task)
    send = partial(app.send_task, entry.task) if task is None else task.apply_async
    send(args, kwargs, task_id=task_id, headers=headers, **options)


def _record(
    entry: Any, due_at: datetime, outcome: Occurrence.Outcome, fence: int, *, left_out: int, task_id: str = "", reason: str = ""
) -> None:
    Occurrence.objects.create(
        schedule=entry.name, due_at=due_at, outcome=outcome, left_out=left_out, task_id=task_id, reason=reason[:2000], fence=fence
    )


def _advance(entry: Any, due_times: DueTimes, decision: Decision, begin: datetime, now: datetime) -> datetime | None:
    """Remember up to when all is decided. ``update`` and not ``save``: that would tell every beat that the schedule was edited."""
    decided = max(decision.named, default=begin)
    following = due_times.following(max(decided, begin))
    if entry.expires is not None and (following is None or following > entry.expires):
        following = entry.expires  # to switch it off
    is_over = (entry.one_off and (bool(decision.sent) or following is None)) or (entry.expires is not None and now >= entry.expires)
    PeriodicTask.objects.filter(pk=entry.pk).update(
        # An entry that is off has no last run, as django-celery-beat has it: switched on again, it is counted from then.
        last_run_at=None if is_over else decided,
        enabled=not is_over,
        total_run_count=F("total_run_count") + len(decision.sent),
    )
    return None if is_over else following
