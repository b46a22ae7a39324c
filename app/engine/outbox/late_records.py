"""Records of enqueued jobs that the ledger has not confirmed: they wait in the database, so that no job is unknown while it is away.

    not confirmed ──keep──▶ row ──the ledger is back──▶ written there, row deleted

Written twice, an item says the same, so any number of relays may deliver, and die half-way.
"""

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from django.db import transaction

from app.engine.outbox import producer

#: One request to the ledger.
BATCH = 25
_KEY = "id"


def keep(items: Iterable[Mapping[str, Any]]) -> None:
    """Keep these items of the ledger: with the transaction that is open, or at once. Raises Django's database errors."""
    from app.engine.outbox.models import LateRecord

    rows = [LateRecord(key=item[_KEY]["S"], item=json.dumps(item)) for item in items]

    def write() -> None:
        # A savepoint: what fails here must not spoil the transaction around it.
        with transaction.atomic():
            LateRecord.objects.bulk_create(rows, update_conflicts=True, unique_fields=["key"], update_fields=["item"])

    if producer.is_bypassed() and transaction.get_connection().in_atomic_block:
        producer.apart(write)
    else:
        write()


def kept(keys: Collection[str]) -> dict[str, Mapping[str, Any]]:
    """Those of these items that wait here. Raises Django's database errors."""
    from app.engine.outbox.models import LateRecord

    return {key: json.loads(item) for key, item in LateRecord.objects.filter(key__in=keys).values_list("key", "item")}


def count_late_records() -> int:
    """Those that wait. Raises Django's database errors."""
    from app.engine.outbox.models import LateRecord

    return LateRecord.objects.count()


def deliver(write: Callable[[list[dict[str, Any]]], bool]) -> int:
    """Have ``write`` bring the oldest to the ledger, and return how many it has taken: none, if it says that it could not.

    Raises Django's database errors.
    """
    from app.engine.outbox.models import LateRecord

    with transaction.atomic():
        rows = list(LateRecord.objects.select_for_update(skip_locked=True).order_by("created_at")[:BATCH])
        if not rows or not write([json.loads(row.item) for row in rows]):
            return 0
        LateRecord.objects.filter(pk__in=[row.pk for row in rows]).delete()
        return len(rows)
