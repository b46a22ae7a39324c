"""One run of a step or a compensation: what ``app/engine/task.py`` puts around a task's function when its message is of a saga.

begin ── run ── finish                    killed anywhere: the message comes again
begin ── │ hold ── run ── finish │        a task with ``atomic_step``: between the bars is one transaction
"""

from collections.abc import Callable
from typing import Any

from celery.exceptions import Ignore, Reject, Retry
from django.db import transaction

from app.engine.sagas import conductor
from app.engine.sagas.errors import Refused
from app.engine.sagas.models import Act
from app.engine.sagas.reference import Reference

#: A compensation is tried again by time, not by number.
MOST_TRIES = 1_000_000


def run_act(task: Any, reference: Reference, run: Callable[[], Any], *, is_excused: Callable[[Exception], bool]) -> Any:
    """Run the task as the act that the reference names, and tell its saga how it ended. An act that is done is not run again.

    ``is_excused`` knows errors that are not the act's own, and after which the job comes again. Raises what the run raises.
    """
    act = conductor.begin(reference)
    if act.state == Act.State.DONE:
        return act.result
    if act.state == Act.State.REFUSED:
        return _refusal(act.code, act.error)
    try:
        return _carry_out(act, run, is_atomic=task.atomic_step)
    except (Retry, Ignore, Reject):
        raise
    except Refused as refusal:
        if act.is_compensation:
            raise _try_again(task, act, refusal) from refusal
        conductor.refuse(act, code=refusal.code, reason=str(refusal))
        return _refusal(refusal.code, str(refusal))
    except Exception as error:
        if is_excused(error):
            raise
        if act.is_compensation:
            raise _try_again(task, act, error) from error
        conductor.fail(act, **conductor.told(error), left_nothing=task.atomic_step)
        raise


def _carry_out(act: Act, run: Callable[[], Any], *, is_atomic: bool) -> Any:
    if not is_atomic:
        result = run()
        conductor.finish(act, result)
        return result
    with transaction.atomic():
        conductor.hold(act)
        result = run()
        conductor.finish(act, result)
    return result


def _try_again(task: Any, act: Act, error: Exception) -> BaseException:
    """What the run raises: the retry that was sent, or the error itself if that was the last try."""
    pause = conductor.fail_compensation(act, **conductor.told(error))
    if pause is None:
        return error
    try:
        task.retry(exc=error, countdown=pause.total_seconds(), max_retries=MOST_TRIES)
    except (Retry, Reject) as retried:
        again: BaseException = retried
    return again


def _refusal(code: str, reason: str) -> dict[str, dict[str, str]]:
    return {"refused": {"code": code, "reason": reason}}
