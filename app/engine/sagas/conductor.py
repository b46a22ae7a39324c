"""Moves sagas from act to act.

Each move is one transaction: the act's row, the saga's row, and the messages of the acts whose turn it is. Rows are locked in one order, the
act's first, then its saga's.

    begin ──▶ (the task runs) ──▶ finish | refuse | fail ──▶ the next acts are published

Source: Garcia-Molina and Salem, Sagas (1987).
"""

import json
import logging
import uuid
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

from celery import current_app
from django.core.serializers.json import DjangoJSONEncoder
from django.db import OperationalError, connection, transaction
from django.db.models import F, Q
from django.utils import timezone

from app.engine.effects.errors import EffectUnderWay
from app.engine.failures import kind_of, text_of
from app.engine.outbox.errors import NotInTransaction, UnknownTask
from app.engine.sagas.definition import definition_of
from app.engine.sagas.errors import ActIsOver, SagaNotStuck
from app.engine.sagas.models import Act, Saga
from app.engine.sagas.reference import HEADER, Reference
from app.engine.task_names import suggestion

logger = logging.getLogger(__name__)

LONGEST_PAUSE = timedelta(hours=1)
LARGEST_RESULT = 4096
PATIENCE = timedelta(seconds=5)
"""How long a run waits for its twin."""
_LONGEST_TEXT = 2000
_LONGEST_CODE = 100
_LOCK_NOT_AVAILABLE = "55P03"
_IN_FLIGHT = (Act.State.PUBLISHED, Act.State.RUNNING)


# -- from outside ---------------------------------------------------------------------------------------------------------


def start(name: str, *, subject: object) -> Saga:
    """Start the saga of that name for a subject, in the caller's transaction; return the one that is there, if it was started before.

    Raises :class:`~app.engine.sagas.errors.SagaUnknown`, and :class:`~app.engine.outbox.errors.NotInTransaction`.
    """
    if not connection.in_atomic_block:
        raise NotInTransaction(f"start({name!r}) needs an open transaction: wrap the change and its saga in transaction.atomic()")
    definition = definition_of(name)
    text = str(subject)
    saga, is_new = Saga.objects.get_or_create(
        name=name, subject=text, defaults={"compensate_for": definition.compensate_for, "first_pause": definition.first_pause}
    )
    if not is_new:
        return saga
    Act.objects.bulk_create(
        Act(
            saga=saga,
            name=step.name,
            position=position,
            task=step.task,
            compensation=step.compensation,
            arguments=dict((step.arguments or definition.arguments)(text)),
        )
        for position, group in enumerate(definition.groups)
        for step in group
    )
    logger.info("saga started", extra={"saga": str(saga.pk), "saga_name": name})
    advance(saga)
    return saga


def saga_of(name: str, *, subject: object) -> Saga | None:
    """The saga of that subject, as it is now."""
    return Saga.objects.filter(name=name, subject=str(subject)).first()


def resume(saga_id: uuid.UUID, *, by: str) -> int:
    """Publish at once the compensations that have failed or wait to be tried again, and return how many.

    Raises :class:`~app.engine.sagas.errors.SagaNotStuck` if there are none.
    """
    with transaction.atomic():
        is_waiting = Q(state=Act.State.FAILED) | Q(state=Act.State.PUBLISHED, due_at__isnull=False)
        acts = list(Act.objects.select_for_update().filter(is_waiting, saga_id=saga_id, kind=Act.Kind.COMPENSATION))
        if not acts:
            raise SagaNotStuck(f"Nothing of the saga {saga_id} has failed and waits: there is nothing to resume.")
        saga = _locked(saga_id)
        saga.state = Saga.State.COMPENSATING
        _touch(saga, "state")
        for act in acts:
            act.tried_since = None
            publish_act(act)
    logger.warning("saga resumed", extra={"saga": str(saga_id), "by": by, "acts": len(acts)})
    return len(acts)


# -- one run of an act ----------------------------------------------------------------------------------------------------


def begin(reference: Reference) -> Act:
    """Note that a worker has begun, and return the act; one that is done or refused is returned as it is.

    Raises :class:`~app.engine.sagas.errors.ActIsOver` for a run that the saga no longer waits for.
    """
    now = timezone.now()
    # | published | running ── begun ──▶ running |  a compensation that failed, and was sent back by a person ──▶ running |
    is_awaited = Q(state__in=_IN_FLIGHT) | Q(state=Act.State.FAILED, kind=Act.Kind.COMPENSATION)
    begun = Act.objects.filter(is_awaited, pk=reference.act, publications=reference.publication).update(
        state=Act.State.RUNNING, attempts=F("attempts") + 1, started_at=now, updated_at=now, due_at=None
    )
    act = Act.objects.select_related("saga").filter(pk=reference.act).first()
    if act is None:
        raise ActIsOver(f"The saga of act {reference.act} is forgotten.")
    if not begun and act.state not in (Act.State.DONE, Act.State.REFUSED):
        raise ActIsOver(f"The saga {act.saga_id} waits no longer for this run of its {act.kind} {act.name}: that is {act.state}.")
    return act


def hold(act: Act) -> None:
    """Lock the act for the rest of the transaction: a twin waits, and then finds it done.

    Raises :class:`~app.engine.effects.errors.EffectUnderWay` if a twin holds it for longer than ``PATIENCE``, and
    :class:`~app.engine.sagas.errors.ActIsOver`.
    """
    with connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL lock_timeout = '{int(PATIENCE.total_seconds() * 1000)}ms'")
        try:
            held = Act.objects.select_for_update().get(pk=act.pk)
        except OperationalError as error:
            if getattr(error.__cause__, "sqlstate", None) != _LOCK_NOT_AVAILABLE:
                raise
            raise EffectUnderWay(f"Another run has been at {act} for {PATIENCE.total_seconds():.0f} s.") from error
        cursor.execute("SET LOCAL lock_timeout TO DEFAULT")
    if held.state != Act.State.RUNNING or held.publications != act.publications:
        raise ActIsOver(f"A twin of this run has ended {act}: it is {held.state}.")


def finish(act: Act, result: Any) -> None:
    """The act is done, and what follows is published. A late run says so, too: its effect is there."""
    with transaction.atomic():
        # | published | running ── returned ──▶ done |
        if _end(act, Act.State.DONE, result=_small(result)):
            saga = _locked(act.saga_id)
            if saga.state == Saga.State.STUCK:  # a person sent the compensation back from the dead letters
                saga.state = Saga.State.COMPENSATING
                _touch(saga, "state")
            advance(saga)


def refuse(act: Act, *, code: str, reason: str) -> None:
    """The step says no, and has done nothing: the saga turns back."""
    with transaction.atomic():
        # | published | running ── Refused ──▶ refused |
        is_ended = _end(act, Act.State.REFUSED, code=_short(code, _LONGEST_CODE), error=_short(reason), left_nothing=True)
        if is_ended:
            advance(_locked(act.saga_id))


def fail(act: Act, *, code: str, reason: str, left_nothing: bool) -> None:
    """The step has failed for good: the saga turns back. Of a publication that was replaced meanwhile, nothing is said."""
    with transaction.atomic():
        # | published | running, of this publication ── failed for good ──▶ failed |
        is_ended = _end(
            act,
            Act.State.FAILED,
            publications=act.publications,
            code=_short(code, _LONGEST_CODE),
            error=_short(reason),
            left_nothing=left_nothing,
        )
        if is_ended:
            advance(_locked(act.saga_id))


def fail_compensation(act: Act, *, code: str, reason: str) -> timedelta | None:
    """Note that a compensation has failed; return the pause before it is tried again, or ``None``: the saga is stuck."""
    now = timezone.now()
    with transaction.atomic():
        held = Act.objects.select_for_update().filter(pk=act.pk, publications=act.publications, state__in=_IN_FLIGHT).first()
        if held is None:
            raise ActIsOver(f"{act} was ended, or published anew, while it failed.")
        held.code, held.error, held.updated_at = _short(code, _LONGEST_CODE), _short(reason), now
        pause = _pause(act.saga, held, now)
        if pause is not None:
            held.state, held.due_at = Act.State.PUBLISHED, now + pause
        else:
            held.state, held.finished_at = Act.State.FAILED, now
            saga = _locked(act.saga_id)
            saga.state = Saga.State.STUCK
            _touch(saga, "state")
            logger.error("saga stuck", extra={"saga": str(saga.pk), "saga_name": saga.name, "act": act.name, "reason": held.error[:500]})
        held.save(update_fields=["state", "code", "error", "updated_at", "due_at", "finished_at"])
    return pause


def _pause(saga: Saga, act: Act, now: datetime) -> timedelta | None:
    tries = max(act.attempts, act.publications, 1)
    pause = min(saga.first_pause * 2 ** min(tries - 1, 20), LONGEST_PAUSE)
    since = act.tried_since or act.created_at
    return pause if now + pause - since <= saga.compensate_for else None


def _end(act: Act, state: Act.State, publications: int | None = None, **changes: Any) -> bool:
    now = timezone.now()
    awaited = Act.objects.filter(pk=act.pk, state__in=_IN_FLIGHT)
    if publications is not None:
        awaited = awaited.filter(publications=publications)
    if state is Act.State.DONE:
        changes |= {"code": "", "error": ""}
    return awaited.update(state=state, finished_at=now, updated_at=now, due_at=None, **changes) == 1


# -- the whole saga ---------------------------------------------------------------------------------------------------------


def advance(saga: Saga) -> None:
    """Publish what is next. The caller's transaction holds the saga's row."""
    acts = list(saga.acts.order_by("position", "id"))
    steps = [act for act in acts if not act.is_compensation]
    if saga.state == Saga.State.RUNNING:
        _go_forward(saga, steps)
    if saga.state == Saga.State.COMPENSATING:
        _go_back(saga, steps, {act.name: act for act in acts if act.is_compensation})
    saga.updated_at = timezone.now()
    saga.save(update_fields=["state", "failed_step", "code", "reason", "finished_at", "updated_at"])


def _go_forward(saga: Saga, steps: list[Act]) -> None:
    failed = next((step for step in steps if step.state in (Act.State.REFUSED, Act.State.FAILED)), None)
    if failed is not None:
        saga.state = Saga.State.COMPENSATING
        saga.failed_step, saga.code, saga.reason = failed.name, failed.code, failed.error
        saga.acts.filter(state=Act.State.WAITING).update(state=Act.State.SKIPPED, updated_at=timezone.now())
        logger.warning("saga turns back", extra={"saga": str(saga.pk), "saga_name": saga.name, "step": failed.name, "code": failed.code})
        return
    for _, group in groupby(steps, key=lambda step: step.position):
        side_by_side = list(group)
        for step in side_by_side:
            if step.state == Act.State.WAITING:
                _take_turn(step)
        if any(step.state != Act.State.DONE for step in side_by_side):
            return
    _conclude(saga, Saga.State.DONE)


def _take_turn(step: Act) -> None:
    if step.task:
        publish_act(step)
        return
    step.state = Act.State.DONE
    step.started_at = step.finished_at = step.updated_at = timezone.now()
    step.save(update_fields=["state", "started_at", "finished_at", "updated_at"])


def _go_back(saga: Saga, steps: list[Act], compensations: dict[str, Act]) -> None:
    if any(step.is_in_flight for step in steps):
        return  # what is still being done cannot be undone
    for position in sorted({step.position for step in steps}, reverse=True):
        owed = [step for step in steps if step.position == position and step.compensation and _may_have_done(step)]
        for step in owed:
            if step.name not in compensations:
                compensations[step.name] = _compensate(step)
        if any(compensations[step.name].state != Act.State.DONE for step in owed):
            return
    _conclude(saga, Saga.State.COMPENSATED)


def _may_have_done(step: Act) -> bool:
    """A step that failed without saying how far it came may have done its work: the gateway took the money, and the answer got lost."""
    return step.state == Act.State.DONE or (step.state == Act.State.FAILED and not step.left_nothing)


def _compensate(step: Act) -> Act:
    act = Act.objects.create(
        saga_id=step.saga_id,
        kind=Act.Kind.COMPENSATION,
        name=step.name,
        position=step.position,
        task=step.compensation,
        arguments=step.arguments,
    )
    publish_act(act)
    return act


def _conclude(saga: Saga, state: Saga.State) -> None:
    saga.state, saga.finished_at = state, timezone.now()
    took = (saga.finished_at - saga.created_at).total_seconds()
    logger.info("saga ended", extra={"saga": str(saga.pk), "saga_name": saga.name, "outcome": str(state), "seconds": round(took, 3)})


def publish_act(act: Act, *, pause: timedelta = timedelta(0), is_same_job: bool = False) -> None:
    """Write the act's message to the outbox of the open transaction: as a new job, which outdates the earlier one, or as a copy of that."""
    task = current_app.tasks.get(act.task)
    if task is None:
        raise UnknownTask(f"No task is called {act.task!r}: {act} cannot go on.{suggestion(act.task, current_app.tasks)}")
    now = timezone.now()
    if not is_same_job:
        act.publications += 1
        act.task_id = str(uuid.uuid4())
        act.attempts = 0 if act.publications == 1 else act.attempts
    act.state = Act.State.PUBLISHED
    act.updated_at = now
    act.due_at = now + pause if pause else None
    act.tried_since = act.tried_since or now
    act.finished_at = None
    act.save(update_fields=["publications", "task_id", "state", "updated_at", "due_at", "tried_since", "finished_at"])
    task.apply_async(
        kwargs=act.arguments,
        task_id=act.task_id,
        headers={HEADER: {"act": act.pk, "publication": act.publications}},
        countdown=pause.total_seconds() or None,
    )


def _locked(saga_id: uuid.UUID) -> Saga:
    return Saga.objects.select_for_update().get(pk=saga_id)


def _touch(saga: Saga, *fields: str) -> None:
    saga.updated_at = timezone.now()
    saga.save(update_fields=[*fields, "updated_at"])


def _small(result: Any) -> Any:
    """What a person may see of a step. The whole result is in the ledger."""
    try:
        text = json.dumps(result, cls=DjangoJSONEncoder)
    except (TypeError, ValueError):
        return None
    # PostgreSQL's JSON has no NUL.
    return json.loads(text.replace("\\u0000", "")) if len(text) <= LARGEST_RESULT else None


def _short(text: str, longest: int = _LONGEST_TEXT) -> str:
    return text.replace("\0", "")[:longest]


def told(error: BaseException) -> dict[str, str]:
    """Of an error: its code and its reason."""
    return {"code": kind_of(error).rpartition(".")[2], "reason": text_of(error)}
