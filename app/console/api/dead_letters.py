"""``/api/dead-letters``: what could not be done, and the ways back. For staff."""

import base64
import binascii
import json
import logging
import time
from datetime import UTC, datetime
from typing import Annotated, Any

from celery import current_app
from django.http import HttpRequest, HttpResponse
from ninja import Query, Router, Schema
from pydantic import AfterValidator, ConfigDict, Field

from app.api.errors import FieldError, Problem
from app.api.idempotency import KEY_HEADER, Answer, answer_once
from app.api.problems import problem_responses
from app.api.schemas import RequestBody
from app.api.tokens import StaffTokenAuthentication
from app.engine.conf import engine_settings
from app.engine.dead_letters.groups import grouped
from app.engine.dead_letters.index import Index
from app.engine.dead_letters.letter import DeadLetter, State
from app.engine.dead_letters.listing import latest, open_letters
from app.engine.dead_letters.order import FASTEST_PER_SECOND, SLOWEST_PER_SECOND, Action
from app.engine.dead_letters.selection import NothingSelected, Selection, select
from app.engine.jobs.errors import AbsurdJobId
from app.engine.jobs.whereabouts import find_job
from app.engine.outbox.publisher import publish

logger = logging.getLogger(__name__)

router = Router(tags=["dead letters"], auth=StaffTokenAuthentication())

ORDER_TASK = "engine.work_off_dead_letters"
MOST_IDS = 1000
_EXAMPLE_ID = "default-7f7c4a3e-0a4e-4d7b-9d0e-2f6f3c1f9a11"


class RedriveAnswer(Schema):
    """One time that the job was sent back before."""

    by: str
    at: str
    letter: str = Field(description="The dead letter that it was then.")


class LetterAnswer(Schema):
    """A dead letter. What is left out is not known, or does not apply."""

    id: str = Field(examples=[_EXAMPLE_ID])
    state: State
    queue: str = Field(description="Where it died, and where a redrive sends it.")
    message_id: str
    reason: str = Field(examples=["failed", "crash-loop", "unknown-task"])
    fingerprint: str = Field(description="Equal for letters that are the same problem.")
    message: str = ""
    exception: str = ""
    task: str = ""
    task_id: str = ""
    tenant: str = ""
    attempts: int = 0
    release: str = Field("", description="Of the worker.")
    body_bytes: int = 0
    died_at: datetime
    entered_at: datetime = Field(description="In the index.")
    expires_at: datetime = Field(description="SQS deletes it; of one that is over: it is forgotten.")
    redrives: int = Field(0, description="How often its job was sent back before.")
    lineage: list[RedriveAnswer] = Field([], description="The latest of those. Only of a letter that is read by its id.")
    by: str = Field("", description="Who sent it back or discarded it.")
    ended_at: datetime | None = None
    problem: str = Field("", description="Why SQS did not take it back.")


class LetterPage(Schema):
    """Some letters, the latest death first."""

    items: list[LetterAnswer]
    next_cursor: str | None = Field(description="Send it as `cursor` to get the next page; null on the last.")


class GroupAnswer(Schema):
    """One problem."""

    fingerprint: str
    count: int
    task: str
    reason: str
    exception: str
    message: str = Field(description="Of the latest.")
    queues: list[str]
    releases: list[str]
    first_died_at: datetime
    last_died_at: datetime


class GroupList(Schema):
    items: list[GroupAnswer] = Field(description="The largest first.")


class OrderAnswer(Schema):
    """An order that is being carried out, a minute at a time, or was."""

    order: str = Field(description="The id of its job.")
    state: str = Field(description="That of its job.")
    report: dict[str, Any] | None = Field(description="What became of it, so far.")


def _check_moment(text: str) -> str:
    try:
        _seconds(text)
    except (ValueError, OverflowError) as error:
        raise ValueError("expected a time in ISO 8601") from error
    return text


def _seconds(text: str) -> float:
    told = datetime.fromisoformat(text)
    return (told if told.tzinfo else told.replace(tzinfo=UTC)).timestamp()


Moment = Annotated[str, AfterValidator(_check_moment), Field(max_length=40, description="ISO 8601; without a zone it is UTC.")]
Word = Annotated[str, Field(min_length=1, max_length=255)]


class SelectionBody(RequestBody):
    """Which letters: those that fit all that is said. `all` says that you mean every one."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"fingerprint": "3f0c9a1be2d4"}]})

    ids: Annotated[tuple[Word, ...], Field(max_length=MOST_IDS, strict=False)] = ()
    queue: Word | None = None
    fingerprint: Word | None = None
    task: Word | None = None
    tenant: Word | None = None
    reason: Word | None = None
    since: Moment | None = None
    before: Moment | None = None
    all: bool = False
    dry_run: Annotated[bool, Field(description="Only say which.")] = False


class RedriveBody(SelectionBody):
    rate: Annotated[float | None, Field(ge=SLOWEST_PER_SECOND, le=FASTEST_PER_SECOND, strict=False, description="Messages a second.")] = (
        None
    )


IdempotencyKey = Annotated[
    str | None,
    KEY_HEADER(
        description="The same key and body get the same answer for 24 hours, with `Idempotent-Replayed: true`. An order that is given "
        "twice does no harm without it.",
    ),
]


@router.get("", response=LetterPage, summary="List dead letters", exclude_unset=True, openapi_extra=problem_responses(401, 403, 422, 503))
def list_letters(
    request: HttpRequest,  # noqa: ARG001 — ninja passes it to each view
    state: Annotated[State, Query(description="`dead` shows those that are being sent back, too.")] = State.DEAD,
    queue: Annotated[str, Query(max_length=80)] = "",
    fingerprint: Annotated[str, Query(max_length=255)] = "",
    task: Annotated[str, Query(max_length=255)] = "",
    tenant: Annotated[str, Query(max_length=255)] = "",
    reason: Annotated[str, Query(max_length=255)] = "",
    since: Annotated[Moment | None, Query()] = None,
    before: Annotated[Moment | None, Query()] = None,
    limit: Annotated[int, Query(ge=1, le=100, description="Letters on the page.")] = 20,
    cursor: Annotated[str | None, Query(max_length=1000, description="`next_cursor` of the page before.")] = None,
) -> dict[str, Any]:
    """The letters that fit all that is asked for. Those that arrive meanwhile do not shift the pages. The list is some seconds behind."""
    selection = Selection(
        queue=queue,
        fingerprint=fingerprint,
        task=task,
        tenant=tenant,
        reason=reason,
        died_from=_seconds(since) if since else 0.0,
        died_before=_seconds(before) if before else 0.0,
    )
    found = latest(engine_settings(), selection, state=state, limit=limit + 1, after=_read_cursor(cursor) if cursor else None)
    page = found[:limit]
    return {"items": [letter.as_json() for letter in page], "next_cursor": _write_cursor(page[-1]) if len(found) > limit else None}


@router.get("/groups", response=GroupList, summary="Group dead letters by problem", openapi_extra=problem_responses(401, 403, 503))
def list_groups(request: HttpRequest) -> dict[str, Any]:  # noqa: ARG001 — as above
    """All that are dead, by fingerprint."""
    return {"items": [group.as_json() for group in grouped(open_letters(engine_settings()))]}


@router.get("/orders/{order}", response=OrderAnswer, summary="Follow an order", openapi_extra=problem_responses(401, 403, 404, 503))
def read_order(request: HttpRequest, order: str) -> dict[str, Any]:  # noqa: ARG001 — as above
    """What became of a redrive or a discard."""
    try:
        job = find_job(engine_settings(), order)
    except AbsurdJobId:
        job = None
    if job is None or job.state is None or job.task != ORDER_TASK:
        raise Problem(404, detail="There is no such order.")
    result = current_app.AsyncResult(order).result
    return {"order": order, "state": str(job.state), "report": result if isinstance(result, dict) else None}


@router.post("/redrives", summary="Send dead letters back", openapi_extra=problem_responses(400, 401, 403, 409, 413, 415, 422, 503))
def redrive(request: HttpRequest, payload: RedriveBody, idempotency_key: IdempotencyKey = None) -> HttpResponse:
    """Have letters sent back to the queues where they died. 202: a worker does it from now on; follow `links.order`."""
    return answer_once(request, idempotency_key, lambda: _give(request, Action.REDRIVE, payload, payload.rate or 0.0))


@router.post("/discards", summary="Discard dead letters", openapi_extra=problem_responses(400, 401, 403, 409, 413, 415, 422, 503))
def discard(request: HttpRequest, payload: SelectionBody, idempotency_key: IdempotencyKey = None) -> HttpResponse:
    """Have letters deleted for good. 202: a worker does it from now on; follow `links.order`."""
    return answer_once(request, idempotency_key, lambda: _give(request, Action.DISCARD, payload, 0.0))


# The last one: it would stand in the way of the others.
@router.get(
    "/{letter}",
    response=LetterAnswer,
    summary="Read a dead letter",
    exclude_unset=True,
    openapi_extra=problem_responses(401, 403, 404, 503),
)
def read_letter(request: HttpRequest, letter: str) -> dict[str, Any]:  # noqa: ARG001 — as above
    """Everything that is known of one, also after it was sent back, discarded or lost."""
    found = Index(engine_settings()).get(letter) if 0 < len(letter.encode()) <= MOST_IDS else None
    if found is None:
        raise Problem(404, detail="There is no such dead letter: there never was one, or it is forgotten.")
    return found.as_json()


def _give(request: HttpRequest, action: Action, payload: SelectionBody, rate: float) -> Answer:
    settings, now = engine_settings(), time.time()
    selection = _selection(payload, now)
    letters = list(select(Index(settings), [queue.name for queue in settings.topology.queues], selection, now=now))
    if payload.dry_run:
        return Answer(status=200, body={"selected": len(letters), "groups": [group.as_json() for group in grouped(letters)]})
    by = request.user.get_username()
    order = publish(ORDER_TASK, action=str(action), selection=selection.as_json(), by=by, rate=rate)
    said = {"action": str(action), "by": by, "selection": selection.in_words(), "selected": len(letters), "order": order}
    logger.info("dead letter order given", extra=said)
    return Answer(
        status=202, body={"order": order, "selected": len(letters), "links": {"order": f"{request.path.rpartition('/')[0]}/orders/{order}"}}
    )


def _selection(payload: SelectionBody, now: float) -> Selection:
    queues = [queue.name for queue in engine_settings().topology.queues]
    if payload.queue is not None and payload.queue not in queues:
        raise _refusal("body", "queue", f"expected one of {', '.join(queues)}")
    try:
        return Selection(
            ids=payload.ids,
            queue=payload.queue or "",
            fingerprint=payload.fingerprint or "",
            task=payload.task or "",
            tenant=payload.tenant or "",
            reason=payload.reason or "",
            died_from=_seconds(payload.since) if payload.since else 0.0,
            died_before=_seconds(payload.before) if payload.before else 0.0,
            is_all=payload.all,
            entered_before=now,
        ).check()
    except NothingSelected as error:
        raise _refusal("body", "", f"{error} That is `all`.") from error


def _refusal(where: str, field: str, reason: str) -> Problem:
    return Problem(422, detail="Some fields cannot be accepted.", errors=[FieldError(where=where, field=field, reason=reason)])


def _write_cursor(last: DeadLetter) -> str:
    return base64.urlsafe_b64encode(json.dumps([last.died_at, last.id]).encode()).decode().rstrip("=")


def _read_cursor(cursor: str) -> tuple[float, str]:
    try:
        died_at, letter = json.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
        return float(died_at), str(letter)
    except (ValueError, TypeError, OverflowError, RecursionError, binascii.Error) as error:
        raise _refusal("query", "cursor", "expected the next_cursor of an earlier answer") from error
