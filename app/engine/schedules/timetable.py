"""When each entry is due next, as the leader remembers it between two looks at the database."""

import logging
from datetime import datetime, timedelta
from typing import Any

from django_celery_beat.models import PeriodicTasks

from app.engine.schedules.entries import counted_from, due_times_of, enabled_entries
from app.engine.schedules.errors import NeverDue
from app.engine.schedules.models import EntryState

logger = logging.getLogger(__name__)

#: Rows that were changed past Django and its signals are seen then.
READ_AGAIN_AFTER = timedelta(minutes=5)


class Timetable:
    """Only a memory: what is due is decided by the row, under its lock."""

    def __init__(self) -> None:
        self._next: dict[int, datetime] = {}
        self._changed_at: datetime | None = None
        self._read_at: datetime | None = None

    def forget(self) -> None:
        """Read everything at the next refresh: another beat may have acted meanwhile."""
        self._read_at = None

    def refresh(self, now: datetime) -> None:
        """Read the entries if one of them was edited. Raises Django's database errors."""
        changed_at = PeriodicTasks.last_change()
        if self._read_at is not None and changed_at == self._changed_at and abs(now - self._read_at) < READ_AGAIN_AFTER:
            return
        entries = enabled_entries()
        # Switched off: it is counted anew when it is switched on.
        EntryState.objects.filter(entry__enabled=False).exclude(pattern="").update(pattern="")
        self._next = {entry.pk: due for entry in entries if (due := _next_look(entry, now, changed_at)) is not None}
        self._changed_at, self._read_at = changed_at, now

    def due(self, now: datetime) -> list[int]:
        """The entries whose time has come, the longest waiting first."""
        return sorted((entry for entry, due in self._next.items() if due <= now), key=self._next.__getitem__)

    def note(self, entry_id: int, due: datetime | None) -> None:
        if due is None:
            self._next.pop(entry_id, None)
        else:
            self._next[entry_id] = due

    def next_due(self) -> datetime | None:
        return min(self._next.values(), default=None)


def _next_look(entry: Any, now: datetime, changed_at: datetime | None) -> datetime | None:
    """When the entry is to be settled. At once, if its due times are to be counted anew: that is written down."""
    try:
        due_times = due_times_of(entry)
    except NeverDue as error:
        logger.error("beat cannot read an entry", extra={"schedule": entry.name, "reason": str(error)})  # noqa: TRY400 — no fault of ours
        return None
    state = getattr(entry, "state", None)
    if state is None or state.pattern != due_times.pattern or entry.last_run_at is None:
        return now
    due = due_times.following(counted_from(entry, due_times.pattern, changed_at=changed_at))
    if entry.expires is not None and (due is None or due > entry.expires):
        due = entry.expires  # to switch it off
    return due
