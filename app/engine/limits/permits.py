"""A few permits a key.

Who takes one has the key to itself until the commit (an advisory lock of PostgreSQL), so that two cannot count at once:

    lock the key ── delete what has lapsed ── count ──┬── fewer than the limit ──▶ INSERT, commit
                                                      └── as many ──▶ roll back: of several limits all are kept, or none is
"""

import logging
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db import connection, transaction

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """One permit under a key that has ``most`` of them, for as long as ``lasts``."""

    key: str
    most: int
    lasts: timedelta


@dataclass(frozen=True, kw_only=True, slots=True)
class Full:
    """The key has none left; the first of them lapses in so long, if it is not given back before."""

    key: str
    frees_in: timedelta


_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))"
_SWEEP = "DELETE FROM limits_permit WHERE key = %s AND until <= clock_timestamp()"
_COUNT = "SELECT count(*), coalesce(min(until) - clock_timestamp(), interval '0') FROM limits_permit WHERE key = %s"
_TAKE = """
INSERT INTO limits_permit (id, key, task_id, taken_at, until)
VALUES (%s, %s, %s, clock_timestamp(), clock_timestamp() + %s)
"""
#: A row that has lapsed and is still there is nobody else's.
_RENEW = "UPDATE limits_permit SET until = clock_timestamp() + %s WHERE id = ANY(%s)"
_GIVE_BACK = "DELETE FROM limits_permit WHERE id = ANY(%s)"


def take(wanted: Sequence[Wanted], task_id: str) -> list[uuid.UUID] | Full:
    """Take one permit of each key and return them in order, or take none and say which key has none left.

    Outside of any transaction: others wait for the commit. Raises Django's database errors.
    """
    taken: list[uuid.UUID] = []
    # Durable: in the caller's transaction the key would stay locked, and the permit unseen, until that one ends.
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        # In one order everywhere, so that no two wait for each other.
        for each in sorted(wanted, key=lambda one: one.key):
            cursor.execute(_LOCK, [f"permit {each.key}"])
        for each in wanted:
            cursor.execute(_SWEEP, [each.key])
            cursor.execute(_COUNT, [each.key])
            held, frees_in = cursor.fetchone()
            if held >= each.most:
                transaction.set_rollback(True)
                return Full(key=each.key, frees_in=max(frees_in, timedelta(0)))
            permit = uuid.uuid4()
            parameters: list[Any] = [permit, each.key, task_id, each.lasts]
            cursor.execute(_TAKE, parameters)
            taken.append(permit)
    return taken


def renew(permits: Sequence[uuid.UUID], lasts: timedelta) -> int:
    """Hold them for so long from now on, and return how many are still there. Raises Django's database errors."""
    return _changed(_RENEW, lasts, list(permits))


def give_back(permits: Sequence[uuid.UUID]) -> None:
    """Let others have them at once. Raises Django's database errors."""
    _changed(_GIVE_BACK, list(permits))


def _changed(statement: str, *parameters: Any) -> int:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return int(cursor.rowcount)
