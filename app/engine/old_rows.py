"""Rows that nobody needs any more, deleted a few at a time."""

from typing import Any

from django.db import transaction
from django.db.models import QuerySet


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
