"""What the code declares, in the database."""

from typing import Any

from django.db import transaction
from django_celery_beat.models import PeriodicTask, PeriodicTasks
from django_celery_beat.schedulers import ModelEntry

from app.engine.schedules.missed import Missed
from app.engine.schedules.models import EntryState

#: Marks the rows that the code declares.
DECLARED = "Declared in app/config/schedule.py: edit it there."


def install(declared: dict[str, dict[str, Any]]) -> None:
    """Make the database say what the code declares; what an operator made, or switched off, stays as it is.

    A row that is right already is not written, so that its due times go on. Raises Django's database errors.
    """
    with transaction.atomic():
        # What is declared no longer must not go on; what a person made in the admin must.
        if PeriodicTask.objects.filter(description=DECLARED).exclude(name__in=declared).delete()[0]:
            PeriodicTasks.update_changed()
        for name, options in declared.items():
            fields = {key: value for key, value in options.items() if key != "missed"}
            _install_entry(name, fields, Missed(options.get("missed", Missed.ONE)))


def _install_entry(name: str, fields: dict[str, Any], missed: Missed) -> None:
    wanted = ModelEntry._unpack_fields(**fields) | {"description": DECLARED}  # noqa: SLF001 — the only way from Celery's words to the columns
    entry = PeriodicTask.objects.filter(name=name).first()
    if entry is None:
        entry = PeriodicTask.objects.create(name=name, **wanted)
    elif any(getattr(entry, column) != value for column, value in wanted.items()):
        for column, value in wanted.items():
            setattr(entry, column, value)
        entry.save()
    EntryState.objects.update_or_create(entry=entry, defaults={"missed": missed})
