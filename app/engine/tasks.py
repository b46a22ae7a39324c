"""The engine's own tasks."""

import logging
import time
from typing import TYPE_CHECKING, Any

from celery import shared_task

from app.engine.conf import engine_settings
from app.engine.dead_letters.desk import Desk
from app.engine.dead_letters.order import Action, Order
from app.engine.dead_letters.selection import Selection
from app.engine.errors import TransientError
from app.engine.jobs.states import JobState
from app.engine.jobs.whereabouts import find_job
from app.engine.metrics.emf import emit
from app.topology.metrics import DEPLOYMENT, SAGAS_STUCK

if TYPE_CHECKING:
    from app.engine.sagas.repair import Job

logger = logging.getLogger(__name__)


@shared_task(name="engine.debug_task", bind=True)
def debug_task(self: Any, seconds: float = 0) -> dict[str, Any]:
    """Prove that a job travels from here to a worker and back, and keep its slot for that many seconds.

    For drills: what becomes of a long run when its worker stops. Changes nothing, so it may run any number of times.
    """
    logger.info("debug task")
    time.sleep(seconds)
    return {"id": self.request.id, "worker": self.request.hostname, "attempt": self.request.retries + 1}


@shared_task(name="engine.forget_old_effects")
def forget_old_effects() -> int:
    """Delete notes of effects that no message can ask for any more. Twice or killed half-way: each batch is a transaction, rows go once."""
    # Its models exist only when Django has loaded its apps.
    from app.engine.effects.forgetting import forget_old

    return forget_old()


@shared_task(name="engine.forget_old_progress")
def forget_old_progress() -> int:
    """Delete checkpoints of works that no message can go on with any more. Twice or killed half-way: as the task above."""
    # As above.
    from app.engine.progress.forgetting import forget_old

    return forget_old()


@shared_task(name="engine.forget_old_permits")
def forget_old_permits() -> int:
    """Delete permits and unique jobs that lapsed long ago. Twice or killed half-way: each batch is a transaction, rows go once."""
    # As above.
    from app.engine.limits.forgetting import forget_old

    return forget_old()


@shared_task(name="engine.repair_sagas")
def repair_sagas() -> int:
    """Publish again what sagas have forgotten, and count the stuck ones.

    Twice: what was just touched is not forgotten, and a count changes nothing. Killed half-way: each act is a transaction.
    """
    from app.engine.sagas.repair import count_stuck, repair

    moved = repair(_whereabouts)
    emit(SAGAS_STUCK, count_stuck(), {DEPLOYMENT: engine_settings().name_prefix})
    return moved


@shared_task(name="engine.forget_old_sagas")
def forget_old_sagas() -> int:
    """Delete sagas that ended long ago. Twice or killed half-way: each batch is a transaction, rows go once."""
    from app.engine.sagas.repair import forget_old

    return forget_old()


def _whereabouts(task_id: str) -> "tuple[Job, str]":
    """What has become of the job of an act."""
    from app.engine.sagas.repair import Job

    found = find_job(engine_settings(), task_id)
    reason = found.error or found.reason
    match found.state:
        case JobState.FAILED | JobState.DEAD | JobState.CANCELLED:
            return Job.OVER, f"Its job is {found.state}: {reason or 'no reason is known'}"
        case JobState.QUEUED:
            return Job.WAITS, reason
        case JobState.STARTED | JobState.RETRYING | JobState.SCHEDULED:
            return Job.AT_WORK, reason
        case _:
            return Job.LOST, f"Its job is {found.state or 'unknown'}"


#: An order works for so long, then others may have its slot, and then it goes on.
SLICE_SECONDS = 60.0
PAUSE_SECONDS = 30
#: A week of slices.
MOST_SLICES = 10_000


@shared_task(name="engine.work_off_dead_letters", bind=True, autoretry_for=(), max_retries=MOST_SLICES)
def work_off_dead_letters(
    self: Any, *, action: str, selection: dict[str, Any], by: str, rate: float = 0.0, done: int = 0
) -> dict[str, Any]:
    """Send dead letters back, or discard them, a minute at a time, each minute an attempt of this job. AWS away: later.

    Twice, or killed half-way: whoever repeats an order goes on from where it was; ``done`` then counts what this one has done.
    """
    end = time.monotonic() + SLICE_SECONDS
    order = Order(action=Action(action), selection=Selection.from_json(selection), by=by, rate=rate)
    desk = Desk(engine_settings(), order, is_stopped=lambda: time.monotonic() >= end)
    pause = 0
    try:
        report = desk.carry_out()
    except TransientError as error:
        logger.warning("dead letter order pauses", extra={"task_id": self.request.id, "reason": str(error)[:500]})
        report, pause = desk.report, PAUSE_SECONDS
        report.is_cut_off = True
    if report.is_cut_off:
        more = {"action": action, "selection": selection, "by": by, "rate": rate, "done": done + report.done}
        raise self.retry(kwargs=more, countdown=pause)
    return report.as_json() | {"done": done + report.done}
