"""One entry, written so that what is right already stays untouched: its due times go on."""

from enum import StrEnum
from typing import Any

from django.db import connection
from django_celery_beat.models import PeriodicTask
from django_celery_beat.schedulers import ModelEntry

from app.engine.schedules.missed import Missed
from app.engine.schedules.models import EntryState

#: Of PostgreSQL's advisory locks.
_LOCK = "schedules"


class Change(StrEnum):
    """What became of an entry."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"


def write_entry(name: str, fields: dict[str, Any], missed: Missed, **columns: Any) -> Change:
    """Make the entry of that name say this: ``fields`` in Celery's words, ``columns`` in the table's. Never a second row.

    A new row is switched on unless ``columns`` say otherwise. Wants a transaction, in which nobody else writes an entry.
    Raises Django's database errors.
    """
    # django-celery-beat has no unique key for intervals and crontabs: twins would each insert their own, and edit each other's entry.
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", [_LOCK])
    wanted = ModelEntry._unpack_fields(**fields) | columns  # noqa: SLF001 — the only way from Celery's words to the columns
    entry = PeriodicTask.objects.select_for_update().filter(name=name).first()
    is_new = entry is None
    is_changed = entry is not None and any(getattr(entry, column) != value for column, value in wanted.items())
    if entry is None:
        entry = PeriodicTask.objects.create(name=name, **wanted)
    elif is_changed:
        for column, value in wanted.items():
            setattr(entry, column, value)
        entry.save()
    state, _ = EntryState.objects.get_or_create(entry=entry, defaults={"missed": missed})
    if state.missed != missed:
        state.missed, is_changed = missed, True
        state.save(update_fields=["missed"])
    return Change.CREATED if is_new else Change.UPDATED if is_changed else Change.UNCHANGED
