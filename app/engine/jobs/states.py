"""In which state a job is. This file decides it, and nothing else does.

    (nothing) ── published in a transaction, due far off, or to follow another job ──▶ scheduled
    (nothing) ── sent ──▶ queued, or scheduled while SQS delays it
    scheduled ── sent by the relay, or its time has come ──▶ queued
    scheduled ── cancelled ──▶ cancelled
    queued ──── claimed by a worker ──▶ started
       ├─────── not received within the queue's retention ──▶ dead
       └─────── revoked, and received ──▶ cancelled
    started ─── returned ──▶ succeeded
       ├─────── raised what is retried ──▶ retrying ── claimed ──▶ started
       ├─────── raised anything else ──▶ failed
       ├─────── revoked and terminated ──▶ cancelled
       ├─────── raised Ignore ──▶ ignored
       ├─────── replaced by another job of its id ──▶ queued
       ├─────── given back by a worker that stops ──▶ queued
       ├─────── its worker died ──▶ started still, until it is claimed again: nobody can tell a dead worker from one that is cut off
       └─────── delivered as often as its queue allows ──▶ dead
    failed | dead | ignored ── sent back from the dead letters ──▶ queued

Never backwards, but for what is sent back. Where places differ, the one that is later in this order tells: awaited by another job, the
outbox's row and the enqueued record (the row, as long as it is there), the record of the run.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from celery import states as celery_states

from app.engine.jobs.facts import EnqueuedRecord, Facts, Item, RunRecord, moment_of, number_of, text_of
from app.engine.ledger.claims import DEAD
from app.engine.outbox.waiting import WaitingMessage


class JobState(StrEnum):
    SCHEDULED = "scheduled"
    QUEUED = "queued"
    STARTED = "started"
    RETRYING = "retrying"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    DEAD = "dead"
    IGNORED = "ignored"
    """It ended, and asked that nothing be said of it: Celery's ``Ignore``."""


#: Of the record of a run; every other word of Celery's, a task's own among them, is that of a run that goes on.
BY_CELERY_S_WORD = {
    celery_states.SUCCESS: JobState.SUCCEEDED,
    celery_states.FAILURE: JobState.FAILED,
    celery_states.REVOKED: JobState.CANCELLED,
    celery_states.RETRY: JobState.RETRYING,
    celery_states.IGNORED: JobState.IGNORED,
    DEAD: JobState.DEAD,
}
FINAL = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED, JobState.DEAD, JobState.IGNORED})
#: A claim ends so long before its message may be seen by others.
_EARLIER = timedelta(seconds=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """``None`` for a job that was never enqueued."""

    state: JobState | None
    reason: str = ""
    """For a person, where the state alone does not tell."""


NEVER = Decision(state=None, reason="never enqueued here")


def decide(facts: Facts) -> Decision:
    """Pure, and total: every combination of facts has one answer."""
    if facts.sent_back is not None and _is_on_its_way_again(facts.run, facts.sent_back):
        at, by = moment_of(facts.sent_back, "sent_back_at"), text_of(facts.sent_back, "by")
        return Decision(state=JobState.QUEUED, reason=f"sent back from the dead letters by {by} at {clock(at or facts.at)}")
    if facts.run is not None and not _is_replaced(facts.run, facts):
        return _by_run(facts.run, facts)
    if facts.row is not None:
        return _by_row(facts.row, facts.at)
    if facts.enqueued is not None:
        return _by_record(facts.enqueued, facts)
    if facts.awaited is not None:
        return Decision(
            state=JobState.SCHEDULED,
            reason=f"it is enqueued when {text_of(facts.awaited, 'awaits')}, and what runs beside that, has succeeded",
        )
    return NEVER


def _is_on_its_way_again(run: RunRecord | None, sent_back: Item) -> bool:
    """Whether no worker has claimed it since: a claim counts how often the job was sent back, too."""
    if run is None:
        return True
    has_ended = BY_CELERY_S_WORD.get(run.state) in {JobState.FAILED, JobState.DEAD, JobState.IGNORED}
    return has_ended and (run.whole("redrives") or 0) < (number_of(sent_back, "redrives") or 0)


def _is_replaced(run: RunRecord, facts: Facts) -> bool:
    """Whether the run ended by enqueuing another under its id, of which nothing is known yet. Both moments are of its worker's clock."""
    claimed_at = run.moment("claimed_at")
    if run.state != celery_states.IGNORED or claimed_at is None:
        return False
    later = [facts.enqueued.at] if facts.enqueued is not None else []
    if facts.awaited is not None and (awaited_at := moment_of(facts.awaited, "enqueued_at")) is not None:
        later.append(awaited_at)
    return facts.row is not None or any(moment >= claimed_at for moment in later)


def _by_run(run: RunRecord, facts: Facts) -> Decision:
    state = BY_CELERY_S_WORD.get(run.state, JobState.STARTED)
    if state is JobState.RETRYING and facts.row is not None and facts.row.attempts:
        return Decision(state=state, reason=f"SQS does not take its message: {facts.row.last_error}")
    if state is JobState.DEAD:
        return Decision(state=state, reason=run.text("error"))
    if state is not JobState.STARTED or "lease_until" not in run.item:
        return Decision(state=state)
    until = run.moment("lease_until")
    if until is None:
        return Decision(state=JobState.QUEUED, reason=f"given back by {run.text('worker')}, which stopped or put it off")
    if until >= facts.at:
        return Decision(state=state)
    heard = until - max(facts.visibility_timeout - _EARLIER, facts.visibility_timeout / 2)
    return Decision(
        state=state,
        reason=f"its worker was last heard of at {clock(heard)}; if it is dead, the job is delivered again from {clock(until + _EARLIER)} on",
    )


def _by_row(row: WaitingMessage, now: datetime) -> Decision:
    if row.due_at is not None and row.due_at > now:
        return Decision(state=JobState.SCHEDULED, reason=f"it waits in the outbox until it is due at {clock(row.due_at)}")
    if row.attempts:
        return Decision(state=JobState.SCHEDULED, reason=f"it waits in the outbox, sent {row.attempts} times in vain: {row.last_error}")
    return Decision(state=JobState.SCHEDULED, reason="it waits in the outbox to be sent")


def _by_record(enqueued: EnqueuedRecord, facts: Facts) -> Decision:
    if refused := text_of(enqueued.item, "not_sent"):
        return Decision(state=None, reason=f"SQS did not take its message, and whoever enqueued it got the error: {refused}")
    due = enqueued.due_at
    if due is not None and due > facts.at:
        return Decision(state=JobState.SCHEDULED, reason=f"SQS delays it until it is due at {clock(due)}")
    if not facts.is_claimed:
        return Decision(
            state=JobState.QUEUED, reason="as far as is known: its task is not claimed, so it may be running, or have run without a record"
        )
    if facts.retention is not None and enqueued.at + facts.retention < facts.at:
        return Decision(
            state=JobState.DEAD, reason=f"nobody received it for {_days(facts.retention)}, after which SQS deletes messages of its queue"
        )
    if unanswered := text_of(enqueued.item, "unanswered"):
        return Decision(state=JobState.QUEUED, reason=f"perhaps: SQS did not say whether it took the message: {unanswered}")
    return Decision(state=JobState.QUEUED)


def clock(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def _days(duration: timedelta) -> str:
    hours = duration.total_seconds() / 3600
    return f"{hours / 24:g} days" if hours % 24 == 0 else f"{hours:g} hours"
