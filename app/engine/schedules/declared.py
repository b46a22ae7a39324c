"""What the code declares, in the database."""

from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django_celery_beat.models import PeriodicTask, PeriodicTasks

from app.engine.schedules.missed import Missed
from app.engine.schedules.writing import Change, write_entry

#: Marks the rows that the code declares.
DECLARED = "Declared in app/config/schedule.py: edit it there."


@dataclass(frozen=True, kw_only=True, slots=True)
class Installed:
    """What was done to make the database say what the code declares."""

    changes: dict[str, Change]
    """By the name of each declared entry."""
    removed: tuple[str, ...]
    """Declared once, and no longer."""
    off: tuple[str, ...]
    """Declared, and switched off by an operator, which stays so."""


def install(declared: dict[str, dict[str, Any]]) -> Installed:
    """Make the database say what the code declares; what an operator made, or switched off, stays as it is.

    A row that is right already is not written, so that its due times go on. Raises Django's database errors.
    """
    with transaction.atomic():
        # What is declared no longer must not go on; what a person made in the admin must.
        gone = PeriodicTask.objects.filter(description=DECLARED).exclude(name__in=declared)
        removed = tuple(gone.order_by("name").values_list("name", flat=True))
        if gone.delete()[0]:
            PeriodicTasks.update_changed()
        changes = {name: _install_entry(name, options) for name, options in declared.items()}
        off = tuple(PeriodicTask.objects.filter(name__in=declared, enabled=False).order_by("name").values_list("name", flat=True))
    return Installed(changes=changes, removed=removed, off=off)


def _install_entry(name: str, options: dict[str, Any]) -> Change:
    fields = {key: value for key, value in options.items() if key != "missed"}
    return write_entry(name, fields, Missed(options.get("missed", Missed.ONE)), description=DECLARED)
