"""Every combination of facts has one answer, and it is true."""

import itertools
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from celery import states as celery_states

from app.engine.jobs.facts import EnqueuedRecord, Facts, Records, RunRecord, recorded
from app.engine.jobs.states import NEVER, JobState, decide
from app.engine.jobs.whereabouts import describe
from app.engine.ledger.claims import DEAD
from app.engine.outbox.waiting import WaitingMessage

NOW = datetime(2026, 1, 2, 12, tzinfo=UTC)
VISIBILITY = timedelta(seconds=60)
RETENTION = timedelta(days=4)


def number(moment: datetime) -> dict[str, str]:
    return {"N": f"{moment.timestamp():.3f}"}


def run(state: str = celery_states.STARTED, *, lease: timedelta | None = timedelta(seconds=30), **more: Any) -> RunRecord:
    item: dict[str, Any] = {"state": {"S": state}, "claimed_at": number(NOW - timedelta(minutes=1)), "worker": {"S": "w@h"}}
    if lease is not None:
        item["lease_until"] = number(NOW + lease) if lease else {"N": "0"}
    return RunRecord(state=state, item=item | more)


def enqueued(ago: timedelta = timedelta(minutes=2), **more: str) -> EnqueuedRecord:
    return EnqueuedRecord(at=NOW - ago, item={name: {"S": text} for name, text in more.items()})


def row(due: timedelta | None = None, attempts: int = 0, error: str = "") -> WaitingMessage:
    return WaitingMessage(
        task="shop.charge",
        queue="default",
        created_at=NOW,
        due_at=None if due is None else NOW + due,
        attempts=attempts,
        last_error=error,
        headers={},
    )


def facts(**known: Any) -> Facts:
    return Facts(task_id="1", at=NOW, visibility_timeout=VISIBILITY, retention=RETENTION, **known)


AWAITED = {"awaits": {"S": "0"}, "enqueued_at": number(NOW - timedelta(minutes=2))}
SENT_BACK = {"redrives": {"N": "2"}, "by": {"S": "ada"}, "sent_back_at": number(NOW)}
IN_AN_HOUR = (NOW + timedelta(hours=1)).isoformat()


@pytest.mark.parametrize(
    ("known", "state", "said"),
    [
        ({}, None, "never enqueued here"),
        ({"awaited": AWAITED}, JobState.SCHEDULED, "when 0,"),
        ({"row": row()}, JobState.SCHEDULED, "to be sent"),
        ({"row": row(due=timedelta(hours=1))}, JobState.SCHEDULED, "until it is due at 2026-01-02 13:00:00 UTC"),
        ({"row": row(attempts=2, error="no")}, JobState.SCHEDULED, "2 times in vain: no"),
        ({"row": row(), "enqueued": enqueued()}, JobState.SCHEDULED, "outbox"),
        ({"enqueued": enqueued()}, JobState.QUEUED, ""),
        ({"enqueued": enqueued(), "awaited": AWAITED}, JobState.QUEUED, ""),
        ({"enqueued": enqueued(eta=IN_AN_HOUR)}, JobState.SCHEDULED, "SQS delays it"),
        ({"enqueued": enqueued(eta=NOW.replace(tzinfo=None).isoformat())}, JobState.QUEUED, ""),
        ({"enqueued": enqueued(eta="odd")}, JobState.QUEUED, ""),
        ({"enqueued": enqueued(not_sent="denied")}, None, "got the error: denied"),
        ({"enqueued": enqueued(unanswered="silence")}, JobState.QUEUED, "perhaps"),
        ({"enqueued": enqueued(ago=RETENTION + timedelta(seconds=1))}, JobState.DEAD, "nobody received it for 4 days"),
        ({"enqueued": enqueued(ago=RETENTION * 2), "is_claimed": False}, JobState.QUEUED, "may be running, or have run"),
        ({"run": run()}, JobState.STARTED, ""),
        ({"run": run(), "row": row(), "enqueued": enqueued()}, JobState.STARTED, ""),
        ({"run": run("PROGRESS")}, JobState.STARTED, ""),
        ({"run": run("PROGRESS", lease=None)}, JobState.STARTED, ""),
        ({"run": run(lease=-timedelta(seconds=10))}, JobState.STARTED, "last heard of at 2026-01-02 11:58:51 UTC"),
        ({"run": run(lease=-timedelta(seconds=10))}, JobState.STARTED, "again from 2026-01-02 11:59:51 UTC on"),
        ({"run": run(lease=timedelta(0))}, JobState.QUEUED, "given back by w@h"),
        ({"run": run(celery_states.RETRY, lease=None)}, JobState.RETRYING, ""),
        (
            {"run": run(celery_states.RETRY, lease=None), "row": row(attempts=1, error="no")},
            JobState.RETRYING,
            "does not take its message: no",
        ),
        ({"run": run(celery_states.SUCCESS, lease=None), "row": row(), "enqueued": enqueued()}, JobState.SUCCEEDED, ""),
        ({"run": run(celery_states.FAILURE)}, JobState.FAILED, ""),
        ({"run": run(celery_states.REVOKED, lease=None)}, JobState.CANCELLED, ""),
        ({"run": run(DEAD, error={"S": "delivered 5 times"})}, JobState.DEAD, "delivered 5 times"),
        ({"run": run(celery_states.IGNORED, lease=timedelta(0)), "enqueued": enqueued()}, JobState.IGNORED, ""),
        ({"run": run(celery_states.IGNORED), "enqueued": enqueued(ago=timedelta(seconds=5))}, JobState.QUEUED, ""),
        ({"run": run(celery_states.IGNORED), "row": row(due=timedelta(hours=1))}, JobState.SCHEDULED, "due at"),
        ({"run": run(celery_states.FAILURE), "sent_back": SENT_BACK}, JobState.QUEUED, "sent back from the dead letters by ada"),
        ({"run": run(DEAD, redrives={"N": "1"}), "sent_back": SENT_BACK}, JobState.QUEUED, "at 2026-01-02 12:00:00 UTC"),
        ({"run": run(celery_states.FAILURE, redrives={"N": "2"}), "sent_back": SENT_BACK}, JobState.FAILED, ""),
        ({"run": run(redrives={"N": "2"}), "sent_back": SENT_BACK}, JobState.STARTED, ""),
        ({"run": run(celery_states.SUCCESS), "sent_back": SENT_BACK}, JobState.SUCCEEDED, ""),
        ({"sent_back": SENT_BACK}, JobState.QUEUED, "ada"),
        (
            {"run": run(celery_states.IGNORED), "awaited": {**AWAITED, "enqueued_at": number(NOW)}},
            JobState.SCHEDULED,
            "when 0,",
        ),
    ],
)
def test_each_combination_has_its_state(known: dict[str, Any], state: JobState | None, said: str) -> None:
    decision = decide(facts(**known))

    assert decision.state is state
    assert said in decision.reason


def test_every_combination_of_what_the_places_may_hold_is_described() -> None:
    words = [*celery_states.ALL_STATES, DEAD, "PROGRESS"]
    runs = [None, *(run(word, lease=lease) for word in words for lease in (None, timedelta(0), timedelta(1), -timedelta(1)))]
    rows = [None, row(), row(due=timedelta(hours=1)), row(attempts=3)]
    records = [None, enqueued(), enqueued(not_sent="no"), enqueued(ago=timedelta(days=30))]

    for run_, row_, record, awaited in itertools.product(runs, rows, records, [None, AWAITED]):
        found = describe(facts(run=run_, row=row_, enqueued=record, awaited=awaited))
        assert json.dumps(found.as_document())
        if run_ is not None or row_ is not None:
            assert found.state is not None


def test_nothing_known_is_never_enqueued() -> None:
    assert decide(facts()) == NEVER


def test_expired_items_say_nothing() -> None:
    expired, live = {"ttl": number(NOW - timedelta(seconds=1))}, {"ttl": number(NOW + timedelta(seconds=1))}
    items: dict[str, Any] = {
        "celery-task-meta-1": {"state": {"S": "SUCCESS"}} | expired,
        "enqueued-1": {"enqueued_at": number(NOW)} | expired,
        "awaited-1": AWAITED | live,
    }

    assert recorded(items, "1", NOW) == Records(run=None, enqueued=None, awaited=items["awaited-1"], sent_back=None)


def test_a_job_is_told_with_all_that_the_places_know_of_it() -> None:
    record = EnqueuedRecord(
        at=NOW - timedelta(minutes=2),
        item={name: {"S": name} for name in ("task", "queue", "tenant", "parent", "root", "origin", "in_group")},
    )
    progress = {"S": json.dumps({"status": "PROGRESS", "result": {"done": 3}})}
    going = run(attempts={"N": "2"}, receives={"N": "4"}, release={"S": "v7"}, result=progress)

    found = describe(facts(run=going, enqueued=record))

    assert (found.task, found.queue, found.tenant, found.parent, found.root, found.group) == (
        "task",
        "queue",
        "tenant",
        "parent",
        "root",
        "in_group",
    )
    assert (found.attempts, found.receives, found.worker, found.release) == (2, 4, "w@h", "v7")
    assert (found.enqueued_at, found.started_at, found.finished_at) == (record.at, NOW - timedelta(minutes=1), None)
    assert found.progress == {"state": "PROGRESS", "meta": {"done": 3}}
    assert found.queueing is None


def test_of_a_failure_the_error_and_its_fingerprint_are_told() -> None:
    ended = run(
        celery_states.FAILURE,
        lease=None,
        error={"S": "ValueError: no"},
        fingerprint={"S": "0a1b"},
        finished_at=number(NOW),
        run_ms={"N": "1500"},
    )

    found = describe(facts(run=ended))

    assert (found.error, found.fingerprint, found.finished_at, found.run_seconds) == ("ValueError: no", "0a1b", NOW, 1.5)
    assert found.progress is None


def test_a_retry_is_told_with_its_time() -> None:
    due = NOW + timedelta(seconds=30)

    assert describe(facts(run=run(celery_states.RETRY, lease=None, retry_at=number(due)))).due_at == due


def test_only_a_job_in_its_queue_is_asked_how_long_it_will_wait() -> None:
    asked: list[str] = []

    describe(facts(enqueued=enqueued(queue="emails")), asked.append)
    describe(facts(run=run(queue={"S": "emails"})), asked.append)

    assert asked == ["emails"]
