"""Rows that nobody needs any more, deleted a few at a time."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.apps import apps
from django.db import transaction
from django.db.models import Model, Q, QuerySet


@dataclass(frozen=True, kw_only=True, slots=True)
class OldRows:
    """Which rows of a model may go when they are old: its attribute ``old_rows`` says so, and whoever keeps house finds it there.

    ``age`` names the moment from which a row is old; ``only`` says which rows somebody may need for ever, by leaving them out.
    """

    age: str
    only: Q = field(default_factory=Q)

    def of(self, model: type[Model], before: datetime) -> "QuerySet[Any]":
        return model._default_manager.filter(self.only, **{f"{self.age}__lt": before})  # noqa: SLF001 — Django's documented name


def declared_old_rows() -> Iterator[tuple[type[Model], OldRows]]:
    """Every installed model that says which of its rows may go."""
    for model in apps.get_models():
        declared = getattr(model, "old_rows", None)
        if isinstance(declared, OldRows):
            yield model, declared


def delete_in_batches(rows: "QuerySet[Any]", oldest_first: str, *, batch: int, batches: int) -> int:
    """Delete these and return how many: at most ``batches`` of ``batch``, each in a transaction of its own. Whoever asks again goes on.

    Rows that somebody else holds are passed over (SKIP LOCKED), so any number may do it at once.
    """
    deleted = 0
    for _ in range(batches):
        with transaction.atomic():
            keys = rows.order_by(oldest_first).select_for_update(skip_locked=True).values_list("pk", flat=True)[:batch]
            count, _ = rows.model.objects.filter(pk__in=list(keys)).delete()
        deleted += count
        if count < batch:
            break
    return deleted
