"""What is known of one job, each from its place."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from app.engine.ledger.claims import KEY, TTL
from app.engine.ledger.records import RESULT_PREFIX
from app.engine.ledger.register import AWAITED_PREFIX, ENQUEUED_PREFIX
from app.engine.ledger.sent_back import SENT_BACK_PREFIX
from app.engine.outbox.waiting import WaitingMessage

Item = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True, slots=True)
class RunRecord:
    """The item of its claim and its result. ``state`` is Celery's word, or ours for a dead letter."""

    state: str
    item: Item

    def text(self, name: str) -> str:
        return text_of(self.item, name)

    def whole(self, name: str) -> int | None:
        number = number_of(self.item, name)
        return None if number is None else int(number)

    def moment(self, name: str) -> datetime | None:
        return moment_of(self.item, name)

    @property
    def said(self) -> tuple[str, Any]:
        """State and meta of what the run said last, as Celery's result has it; nothing and ``None`` if it said nothing."""
        try:
            told = json.loads(self.text("result"))
            return str(told["status"]), told["result"]
        except (ValueError, KeyError, TypeError, RecursionError):
            return "", None


@dataclass(frozen=True, kw_only=True, slots=True)
class EnqueuedRecord:
    """That it was enqueued, and how."""

    at: datetime
    item: Item

    @property
    def due_at(self) -> datetime | None:
        try:
            moment = datetime.fromisoformat(text_of(self.item, "eta"))
        except ValueError:
            return None
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


@dataclass(frozen=True, kw_only=True, slots=True)
class Facts:
    """Of one job, at one moment."""

    task_id: str
    at: datetime
    run: RunRecord | None = None
    enqueued: EnqueuedRecord | None = None
    awaited: Item | None = None
    sent_back: Item | None = None
    """That its dead letter was sent back, the last time."""
    row: WaitingMessage | None = None
    """Its message in the outbox."""
    is_claimed: bool = True
    """Whether its task is: otherwise nobody records that a worker has it, nor, if its result is ignored, that it has run."""
    visibility_timeout: timedelta = timedelta(0)
    """Of its queue."""
    retention: timedelta | None = None
    """Of its queue: SQS deletes what nobody received for so long."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Records:
    """What the ledger's items of a job say."""

    run: RunRecord | None
    enqueued: EnqueuedRecord | None
    awaited: Item | None
    sent_back: Item | None


def keys_of(task_id: str) -> tuple[str, ...]:
    """Of a job's items in the ledger: its run, its enqueuing, that it is awaited, and that it was sent back."""
    return tuple(prefix + task_id for prefix in (RESULT_PREFIX, ENQUEUED_PREFIX, AWAITED_PREFIX, SENT_BACK_PREFIX))


def recorded(items: Mapping[str, Item], task_id: str, now: datetime) -> Records:
    """Expired items say nothing: DynamoDB deletes them within days, not at once."""
    live = {key: item for key, item in items.items() if (ends := number_of(item, TTL)) is not None and ends > now.timestamp()}
    run, enqueued, awaited, sent_back = (live.get(key) for key in keys_of(task_id))
    return Records(
        run=RunRecord(state=text_of(run, "state"), item=run) if run and "state" in run else None,
        enqueued=EnqueuedRecord(at=moment_of(enqueued, "enqueued_at") or now, item=enqueued) if enqueued else None,
        awaited=awaited,
        sent_back=sent_back,
    )


def text_of(item: Item, name: str) -> str:
    return str(item.get(name, {}).get("S", ""))


def number_of(item: Item, name: str) -> float | None:
    number = item.get(name, {}).get("N")
    return None if number is None else float(number)


def moment_of(item: Item, name: str) -> datetime | None:
    seconds = number_of(item, name)
    return datetime.fromtimestamp(seconds, UTC) if seconds else None


def key_of(item: Item) -> str:
    return text_of(item, KEY)
