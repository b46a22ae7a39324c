"""Finds acts that nobody carries any more, and sagas that are forgotten.

in flight, untouched ── its job is over without a word ──▶ a step: failed; a compensation: published anew, after a pause
    ├── its job is unknown, was ignored, or succeeded without a mark ──▶ published anew, which outdates the earlier job
    ├── its job waits in a queue ──▶ published again as the same job, which runs once
    └── its job is being run, retried, or not due ──▶ left alone
"""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from enum import Enum

from celery import current_app
from django.db import transaction
from django.db.models import DateTimeField, Exists, ExpressionWrapper, F, OuterRef, Q, QuerySet
from django.utils import timezone

from app.engine.old_rows import delete_in_batches
from app.engine.sagas import conductor
from app.engine.sagas.errors import ActIsOver
from app.engine.sagas.models import Act, Saga

logger = logging.getLogger(__name__)

UNTOUCHED_FOR = timedelta(minutes=2)
KEPT_FOR = timedelta(days=90)
LONGEST_REASON = 500


class Job(Enum):
    """What has become of an act's job, as far as the repair must know."""

    LOST = "lost"
    OVER = "over"
    WAITS = "waits"
    AT_WORK = "at work"


Whereabouts = Callable[[str], tuple[Job, str]]
"""Of a task id: what became of the job, and why. May raise ``EngineError`` when that cannot be known now."""


def repair(whereabouts: Whereabouts, now: datetime | None = None, limit: int = 500) -> int:
    """Look after the acts and sagas that nobody has touched for ``UNTOUCHED_FOR``, and return how many were moved.

    The older an act, the longer the pause between two looks, half its age.
    """
    moment = now or timezone.now()
    moved = sum(_look_after(act, whereabouts, moment) for act in _forgotten_acts(moment)[:limit])
    return moved + sum(_look_after_saga(saga) for saga in _forgotten_sagas(moment)[:limit])


def count_stuck() -> int:
    """The sagas that wait for a person."""
    return Saga.objects.filter(state=Saga.State.STUCK).count()


def forget_old(now: datetime | None = None, batch: int = 200, batches: int = 100) -> int:
    """Delete sagas that ended ``KEPT_FOR`` ago, with their acts, and return how many rows; the next run goes on."""
    too_old = Saga.objects.filter(finished_at__lt=(now or timezone.now()) - KEPT_FOR)
    return delete_in_batches(too_old, "finished_at", batch=batch, batches=batches)


def _forgotten_acts(now: datetime) -> "QuerySet[Act]":
    half_its_age = (F("updated_at") - F("created_at")) / 2
    return (
        Act.objects.annotate(next_look_at=ExpressionWrapper(F("updated_at") + half_its_age, output_field=DateTimeField()))
        .filter(
            Q(due_at=None) | Q(due_at__lt=now - UNTOUCHED_FOR),
            state__in=[Act.State.PUBLISHED, Act.State.RUNNING],
            updated_at__lt=now - UNTOUCHED_FOR,
            next_look_at__lt=now,
        )
        .order_by("updated_at")
    )


def _forgotten_sagas(now: datetime) -> "QuerySet[Saga]":
    """Those with nothing in flight. By the conductor's transactions there are none: a row changed by hand makes one."""
    in_flight = Act.objects.filter(saga=OuterRef("pk"), state__in=[Act.State.PUBLISHED, Act.State.RUNNING])
    is_moving = Q(state__in=[Saga.State.RUNNING, Saga.State.COMPENSATING])
    return Saga.objects.filter(is_moving, ~Exists(in_flight), updated_at__lt=now - UNTOUCHED_FOR).order_by("updated_at")


def _look_after(found: Act, whereabouts: Whereabouts, now: datetime) -> bool:
    job, reason = whereabouts(found.task_id)
    with transaction.atomic():
        unchanged = Act.objects.select_for_update(skip_locked=True).filter(
            pk=found.pk, state=found.state, publications=found.publications, updated_at=found.updated_at
        )
        act = unchanged.select_related(None).first()
        if act is None:
            return False  # somebody is at it
        if job is Job.AT_WORK:
            act.updated_at = now
            act.save(update_fields=["updated_at"])
            return False
        if job is Job.OVER:
            _end_lost(act, reason)
        else:
            conductor.publish_act(act, is_same_job=job is Job.WAITS)
    logger.warning(
        "saga act published again", extra={"saga": str(act.saga_id), "act": act.name, "kind": act.kind, "reason": reason[:LONGEST_REASON]}
    )
    return True


def _end_lost(act: Act, reason: str) -> None:
    """Its job is over, and could not say so: killed at its time limit, or with each of its workers."""
    if not act.is_compensation:
        task = current_app.tasks.get(act.task)
        conductor.fail(act, code="lost", reason=reason, left_nothing=bool(getattr(task, "atomic_step", False)))
        return
    try:
        pause = conductor.fail_compensation(act, code="lost", reason=reason)
    except ActIsOver:
        return
    if pause is not None:
        act.refresh_from_db()
        conductor.publish_act(act, pause=pause)


def _look_after_saga(found: Saga) -> bool:
    with transaction.atomic():
        saga = Saga.objects.select_for_update(skip_locked=True).filter(pk=found.pk, updated_at=found.updated_at).first()
        if saga is None:
            return False
        before = saga.state
        conductor.advance(saga)
        is_in_flight = saga.acts.filter(state__in=[Act.State.PUBLISHED, Act.State.RUNNING]).exists()
    return is_in_flight or saga.state != before
