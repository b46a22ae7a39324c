"""One effect a key.

    INSERT key ──▶ ours ── effect, its answer ──▶ commit
        │  (a twin waits here for the first to commit or roll back)
        └────────▶ taken ── by this run's job under a higher fence ──▶ StaleRun
                      └─── otherwise ─────────────────────────────▶ the answer

Source: the idempotent receiver of Hohpe and Woolf, Enterprise Integration Patterns; the fence is Kleppmann's.
"""

import hashlib
import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.db import OperationalError, connection, transaction
from django.db.models import Max, Q

from app.engine.effects.errors import EffectUnderWay, StaleRun
from app.engine.effects.models import LONGEST_KEY, Effect
from app.engine.job_ledger import fence_of

logger = logging.getLogger(__name__)

PATIENCE = timedelta(seconds=5)
"""How long a run waits for its twin."""
_LOCK_NOT_AVAILABLE = "55P03"


def once(request: Any, name: str, effect: Callable[[], Any], *, key: str | None = None) -> Any:
    """Have ``effect``, in a transaction, unless it was had before; return what it returned then, which must be JSON and small.

    ``request`` is ``self.request`` of a bound task, ``name`` tells the effects of one job from each other. ``key`` replaces both,
    for an effect that several jobs might have. In an open transaction the note becomes a part of that one.

    Raises :class:`StaleRun` if a later run of the job was here before, :class:`EffectUnderWay` if a twin is still at it after
    ``PATIENCE``, ``ValueError`` for a run without a task id and no ``key``, and what ``effect`` raises, which leaves no note.
    """
    task_id, fence = str(request.id or ""), fence_of(request)
    with transaction.atomic():
        row, is_ours = _noted(key or stable_key(request, name), task_id, fence)
        if fence is not None and _highest_fence(task_id) > fence:
            logger.warning("stale run refused", extra={"effect": row.key, "fence": fence})
            raise StaleRun(f"A later run of the job {task_id} has come to {row.key}: this one, with fence {fence}, may not.")
        if is_ours:
            row.answer = effect()
            row.save(update_fields=["answer"])
        else:
            logger.info("effect found done", extra={"effect": row.key})
            # Earlier runs that are still at work shall find out.
            if fence is not None:
                Effect.objects.filter(Q(fence__lt=fence) | Q(fence=None), pk=row.pk, task_id=task_id).update(fence=fence)
        return row.answer


def stable_key(request: Any, name: str) -> str:
    """The same for each run and each attempt of a job, another for each job: what a payment gateway takes as an idempotency key.

    At most 255 characters. Raises ``ValueError`` for a run without a task id, which nobody could repeat.
    """
    if not request.id:
        raise ValueError(f"This call has no task id, and so no stable key for {name!r}: start the task with delay(), or give a key.")
    key = f"{request.id}:{name}"
    return key if len(key) <= LONGEST_KEY else hashlib.sha256(key.encode()).hexdigest()


def _noted(key: str, task_id: str, fence: int | None) -> tuple[Effect, bool]:
    """The row of the key, and whether this call has inserted it."""
    with connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL lock_timeout = '{int(PATIENCE.total_seconds() * 1000)}ms'")
        try:
            # Waits in the unique index for a twin that has inserted and not committed.
            row, is_ours = Effect.objects.get_or_create(key=key, defaults={"task_id": task_id, "fence": fence})
        except OperationalError as error:
            if getattr(error.__cause__, "sqlstate", None) != _LOCK_NOT_AVAILABLE:
                raise
            raise EffectUnderWay(f"Another run has been at {key} for {PATIENCE.total_seconds():.0f} s.") from error
        cursor.execute("SET LOCAL lock_timeout TO DEFAULT")
    return row, is_ours


def _highest_fence(task_id: str) -> int:
    """Of the runs of this job that are in the notes of any of its effects."""
    highest: int | None = Effect.objects.filter(task_id=task_id).aggregate(highest=Max("fence"))["highest"] if task_id else None
    return highest or 0
