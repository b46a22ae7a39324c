"""What people are shown."""

from collections.abc import Collection
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from app.engine.progress.models import Checkpoint


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """How far a work is: no number in it, except ``total``, is ever lower than it was shown before."""

    key: str
    current: int
    total: int | None
    percent: int | None
    """``None`` as long as no total was said."""
    label: str
    counts: dict[str, int]
    updated_at: datetime

    def as_document(self) -> dict[str, Any]:
        """JSON."""
        return asdict(self) | {"updated_at": self.updated_at.isoformat(timespec="milliseconds")}


def read(key: str) -> Progress | None:
    """``None`` for a work that nobody has taken, or that is forgotten."""
    return read_many([key]).get(key)


def read_many(keys: Collection[str]) -> dict[str, Progress]:
    """In one query; those that nobody has taken are missing."""
    return {row.key: _shown(row) for row in Checkpoint.objects.filter(pk__in=keys)}


def of_job(task_id: str) -> Progress | None:
    """Of the work that this job was the last to take; of several, the one that it touched last."""
    row = Checkpoint.objects.filter(task_id=task_id).order_by("-touched_at").first()
    return None if row is None else _shown(row)


def _shown(row: Checkpoint) -> Progress:
    return Progress(
        key=row.key,
        current=row.shown_current,
        total=row.shown_total,
        percent=row.shown_percent,
        label=row.shown_label,
        counts=row.shown_counts,
        updated_at=row.touched_at,
    )
