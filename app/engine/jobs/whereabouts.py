"""One job: where it is, and all that is known of it."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from celery import current_app
from celery import states as celery_states
from django.db import Error as DatabaseError

from app.engine.conf import EngineSettings
from app.engine.errors import EngineError
from app.engine.jobs.errors import AbsurdJobId, NotCertain
from app.engine.jobs.facts import EnqueuedRecord, Facts, Item, RunRecord, keys_of, recorded, text_of
from app.engine.jobs.queueing import Queueing, read_queueing
from app.engine.jobs.states import BY_CELERY_S_WORD, FINAL, JobState, decide
from app.engine.ledger.reading import read_items
from app.engine.outbox.late_records import kept
from app.engine.outbox.waiting import WaitingMessage, waiting_message
from app.engine.progress.reading import of_job
from app.topology import QueuePolicy

#: Of the outbox's column. Celery's own ids have 36 characters.
LONGEST_ID = 255
#: The state that a run is said to report which reports by its checkpoints.
CHECKPOINTS = "PROGRESS"


@dataclass(frozen=True, kw_only=True, slots=True)
class Whereabouts:
    """What is known of a job. ``None``, or nothing, is not known."""

    id: str
    state: JobState | None
    """``None``: never enqueued here."""
    reason: str = ""
    """For a person: what the state does not tell."""
    task: str = ""
    queue: str = ""
    tenant: str = ""
    parent: str = ""
    root: str = ""
    group: str = ""
    origin: str = ""
    """The process that enqueued it."""
    waits_for: str = ""
    """The id of the job that it follows."""
    attempts: int | None = None
    receives: int | None = None
    """How often SQS has delivered the message of its last run."""
    redrives: int | None = None
    worker: str = ""
    release: str = ""
    """Of that worker."""
    enqueued_at: datetime | None = None
    due_at: datetime | None = None
    """Of a job that is delayed, or retried."""
    started_at: datetime | None = None
    """Its last run."""
    finished_at: datetime | None = None
    run_seconds: float | None = None
    progress: Any = None
    """What its run said last of itself: the state and the meta of ``update_state``, or how far the work is that it holds."""
    error: str = ""
    fingerprint: str = ""
    dead_letter: str = ""
    """Its id among the dead letters."""
    queueing: Queueing | None = None
    """Only of a job that waits in its queue."""

    def as_document(self) -> dict[str, Any]:
        """JSON: every field, moments in ISO 8601, durations in seconds."""
        return {field.name: _plain(getattr(self, field.name)) for field in fields(self)}


def find_job(settings: EngineSettings, task_id: str) -> Whereabouts:
    """Where the job is now: one read of the ledger, of the outbox where that may know more, and of the queue for one that waits in it.

    Raises :class:`~app.engine.jobs.errors.AbsurdJobId`, :class:`~app.engine.jobs.errors.NotCertain`, and
    :class:`~app.engine.aws.errors.AwsUnavailable` or ``AwsRefused`` when the ledger cannot be read.
    """
    check_id(task_id)
    row, late, error = _in_the_database(task_id)
    # After the database: what leaves it meanwhile is in the ledger by then, and not the other way round.
    items = {**late, **read_items(settings, keys_of(task_id))}
    now = datetime.now(UTC)
    known = recorded(items, task_id, now)
    if error is not None and _may_be_in_the_outbox(known.run):
        raise NotCertain(f"The outbox could not be read, and it may hold the job: {error}") from error
    policy = _policy(settings, known.run, row, known.enqueued)
    facts = Facts(
        task_id=task_id,
        at=now,
        run=known.run,
        enqueued=known.enqueued,
        awaited=known.awaited,
        sent_back=known.sent_back,
        row=row,
        is_claimed=_is_claimed(known.enqueued),
        **({} if policy is None else {"visibility_timeout": policy.visibility_timeout, "retention": policy.retention}),
    )
    return _with_checkpoint(describe(facts, lambda queue: _queueing(settings, queue, now)))


def check_id(task_id: str) -> None:
    """Raises :class:`~app.engine.jobs.errors.AbsurdJobId`."""
    if not 0 < len(task_id) <= LONGEST_ID:
        raise AbsurdJobId(f"A job's id has 1 to {LONGEST_ID} characters, this one has {len(task_id):,}.")
    if not task_id.isprintable():
        raise AbsurdJobId("A job's id has no control characters.")


def describe(facts: Facts, queueing: Any = lambda _: None) -> Whereabouts:
    """Put together what the places say. ``queueing(queue)`` is asked about a job that waits in its queue."""
    decision = decide(facts)
    told: dict[str, Any] = {}
    for source in (_of_awaited(facts), _of_enqueued(facts), _of_row(facts), _of_run(facts, decision.state)):
        told |= {name: value for name, value in source.items() if value not in ("", None)}
    if decision.state is JobState.QUEUED and told.get("queue"):
        told["queueing"] = queueing(told["queue"])
    return Whereabouts(id=facts.task_id, state=decision.state, reason=decision.reason, **told)


def _with_checkpoint(found: Whereabouts) -> Whereabouts:
    """Of a run that says nothing of itself and holds a work: how far that is. Nothing if the database does not say."""
    if found.state is not JobState.STARTED or found.progress is not None:
        return found
    try:
        shown = of_job(found.id)
    except DatabaseError:
        return found
    return found if shown is None else replace(found, progress={"state": CHECKPOINTS, "meta": shown.as_document()})


def _in_the_database(task_id: str) -> tuple[WaitingMessage | None, Mapping[str, Item], Exception | None]:
    """Its message in the outbox, records that wait for the ledger, and why neither could be read."""
    try:
        return waiting_message(task_id), kept(keys_of(task_id)), None
    except DatabaseError as error:
        return None, {}, error


def _may_be_in_the_outbox(run: RunRecord | None) -> bool:
    """A run that has ended, or goes on, tells all there is."""
    if run is None:
        return True
    return BY_CELERY_S_WORD.get(run.state) in {JobState.RETRYING, JobState.IGNORED}


def _policy(
    settings: EngineSettings, run: RunRecord | None, row: WaitingMessage | None, enqueued: EnqueuedRecord | None
) -> QueuePolicy | None:
    queue = (run and run.text("queue")) or (row and row.queue) or (enqueued and text_of(enqueued.item, "queue")) or ""
    return next((policy for policy in settings.topology.queues if policy.name == queue), None)


def _is_claimed(enqueued: EnqueuedRecord | None) -> bool:
    """As the ledger's book sees it. Of a task that this process does not know, yes: nearly all are."""
    task = current_app.tasks.get(text_of(enqueued.item, "task")) if enqueued is not None else None
    return bool(getattr(task, "claimed", True) and getattr(task, "acks_late", True))


def _queueing(settings: EngineSettings, queue: str, now: datetime) -> Queueing | None:
    """The state is certain without it."""
    if all(policy.name != queue for policy in settings.topology.queues):
        return None
    try:
        return read_queueing(settings, queue, now)
    except EngineError:
        return None


def _of_awaited(facts: Facts) -> dict[str, Any]:
    if facts.awaited is None:
        return {}
    is_awaited = facts.run is None and facts.row is None and facts.enqueued is None
    return {"task": text_of(facts.awaited, "task"), "waits_for": text_of(facts.awaited, "awaits") if is_awaited else ""}


def _of_enqueued(facts: Facts) -> dict[str, Any]:
    if facts.enqueued is None:
        return {}
    item = facts.enqueued.item
    told: dict[str, Any] = {name: text_of(item, name) for name in ("task", "queue", "tenant", "parent", "root", "origin")}
    return told | {"group": text_of(item, "in_group"), "enqueued_at": facts.enqueued.at, "due_at": facts.enqueued.due_at}


def _of_row(facts: Facts) -> dict[str, Any]:
    row = facts.row
    if row is None:
        return {}
    root, headers = row.headers.get("root_id"), row.headers
    return {
        "task": row.task,
        "queue": row.queue,
        "parent": headers.get("parent_id"),
        "root": root if root != facts.task_id else "",
        "group": headers.get("group"),
        "origin": headers.get("origin"),
        # A retry is the same job again.
        "enqueued_at": row.created_at if not headers.get("retries") and facts.enqueued is None else None,
        "due_at": row.due_at,
        "attempts": headers.get("retries") or None,
    }


def _of_run(facts: Facts, state: JobState | None) -> dict[str, Any]:
    run = facts.run
    if run is None:
        return {}
    said, meta = run.said
    run_ms = run.whole("run_ms")
    told: dict[str, Any] = {
        name: run.text(name) for name in ("task", "queue", "tenant", "parent", "root", "worker", "release", "error", "fingerprint")
    }
    told |= {
        "group": run.text("in_group"),
        "dead_letter": run.text("letter"),
        "attempts": run.whole("attempts"),
        "receives": run.whole("receives"),
        "redrives": run.whole("redrives"),
        "started_at": run.moment("claimed_at") or run.moment("started_at"),
        "finished_at": (run.moment("finished_at") or run.moment("recorded_at")) if state in FINAL else None,
        "run_seconds": None if run_ms is None else run_ms / 1000,
    }
    if facts.enqueued is None:
        told["enqueued_at"] = run.moment("sent_at")
    if (due := run.moment("retry_at")) is not None:
        told["due_at"] = due
    if state is JobState.STARTED and said not in ("", celery_states.STARTED):
        told["progress"] = {"state": said, "meta": meta}
    return told


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="milliseconds")
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Queueing):
        return {"position": value.position, "per_minute": value.per_minute, "wait_seconds": _plain(value.wait), "is_approximate": True}
    if isinstance(value, Mapping):
        return dict(value)
    return value if value is None or isinstance(value, (int, float)) else str(value)
