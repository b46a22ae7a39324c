"""What is known of one job, each from its place."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from app.engine.ledger.claims import KEY, TTL
from app.engine.ledger.records import RESULT_PREFIX
from app.engine.ledger.register import AWAITED_PREFIX, ENQUEUED_PREFIX
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
    row: WaitingMessage | None = None
    """Its message in the outbox."""
    visibility_timeout: timedelta = timedelta(0)
    """Of its queue."""
    retention: timedelta | None = None
    """Of its queue: SQS deletes what nobody received for so long."""


def keys_of(task_id: str) -> tuple[str, str, str]:
    """Of a job's items in the ledger: its run, its enqueuing, and that it is awaited."""
    return RESULT_PREFIX + task_id, ENQUEUED_PREFIX + task_id, AWAITED_PREFIX + task_id


def recorded(items: Mapping[str, Item], task_id: str, now: datetime) -> tuple[RunRecord | None, EnqueuedRecord | None, Item | None]:
    """What the ledger's items say. Expired ones say nothing: DynamoDB deletes them within days, not at once."""
    live = {key: item for key, item in items.items() if (ends := number_of(item, TTL)) is not None and ends > now.timestamp()}
    run_key, enqueued_key, awaited_key = keys_of(task_id)
    run, enqueued = live.get(run_key), live.get(enqueued_key)
    return (
        RunRecord(state=text_of(run, "state"), item=run) if run and "state" in run else None,
        EnqueuedRecord(at=moment_of(enqueued, "enqueued_at") or now, item=enqueued) if enqueued else None,
        live.get(awaited_key),
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
