"""Jobs that are there once at a time.

Who publishes one holds its key in the transaction that writes the outbox: both are there, or neither is. Its run holds the key under a short
lease that it renews, so that a killed one lets go soon; between runs the job holds it for as long as ``UniqueKey`` says.
"""

import logging
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from celery.exceptions import Reject, Retry
from django.db import Error as DatabaseError
from django.db import connection, transaction

from app.engine.broker.put_off import PutOff
from app.engine.limits import renewal
from app.engine.limits.limiter import LIMIT, LONGEST_KEY, seconds_spread
from app.engine.limits.renewal import Renewal
from app.engine.outbox.errors import NotInTransaction
from app.engine.outbox.publisher import publish_as

logger = logging.getLogger(__name__)

HEADER = "unique"
"""The message's header that says which key its job holds, and for how many seconds while it waits: it comes again with each retry."""
LONGEST_WAIT = timedelta(days=14)


@dataclass(frozen=True, kw_only=True, slots=True)
class UniqueKey:
    """One job of this key at a time. ``waits`` is the bound: a job that no worker has taken for so long does not keep others out."""

    key: str
    waits: timedelta = timedelta(hours=1)

    def __post_init__(self) -> None:
        if not 1 <= len(self.key) <= LONGEST_KEY or "\0" in self.key:
            raise ValueError(f"expected a key of 1 to {LONGEST_KEY} characters, got {self.key!r:.250}")
        if not timedelta(seconds=1) <= self.waits <= LONGEST_WAIT:
            raise ValueError(f"expected a bound from a second to {LONGEST_WAIT.days} days, got {self.waits}")


_HOLDER = "SELECT task_id FROM limits_uniquejob WHERE key = %s AND until > clock_timestamp()"
# | (none) ── take ──▶ held by this job |  held, and lapsed ── take ──▶ held by this job |  held ── take ──▶ refused: no row is returned |
# | held by this job ── its run begins, or it waits again ──▶ held by this job |
_TAKE = """
INSERT INTO limits_uniquejob AS held (key, task_id, run, until) VALUES (%(key)s, %(task_id)s, %(run)s, clock_timestamp() + %(lasts)s)
ON CONFLICT (key) DO UPDATE SET task_id = excluded.task_id, run = excluded.run, until = excluded.until
WHERE held.until <= clock_timestamp() OR held.task_id = excluded.task_id
RETURNING held.task_id
"""
# Of this run only: a later one of the same job, or another job, may hold it by now.
# Never shorter: a renewal may come late.
_EXTEND = "UPDATE limits_uniquejob SET until = greatest(until, clock_timestamp() + %(lasts)s) WHERE key = %(key)s AND run = %(run)s"
_FORGET = "DELETE FROM limits_uniquejob WHERE key = %(key)s AND task_id = %(task_id)s"
_LET_GO = "DELETE FROM limits_uniquejob WHERE key = %(key)s AND run = %(run)s"


def publish_unique(task_name: str, unique: UniqueKey, /, **kwargs: Any) -> str:
    """As ``publish``; but while a job of this key is queued or running, return the id of that one and publish nothing.

    Of several transactions at once the first is waited for, until it commits or rolls back. Raises what ``publish`` raises.
    """
    if not transaction.get_connection().in_atomic_block:
        raise NotInTransaction(f"publish_unique({task_name!r}) needs an open transaction, as publish() does.")
    task_id = str(uuid.uuid4())
    while True:
        # Asked first, without a lock: a long transaction must not keep the run from renewing or ending.
        if (holder := _one(_HOLDER, [unique.key])) is None:
            holder = _one(_TAKE, _row(unique.key, task_id, None, unique.waits))
        if holder == task_id:
            headers = {HEADER: {"key": unique.key, "waits": unique.waits.total_seconds()}}
            try:
                return publish_as(task_id, task_name, kwargs, headers=headers)
            except Exception:
                # Also for a caller who goes on: nothing was published.
                _changed(_FORGET, _row(unique.key, task_id, None, unique.waits))
                raise
        if holder is not None:
            logger.info("unique job dropped", extra={"key": unique.key, "task": task_name, "first": holder})
            return holder
        # Its run ended between the two questions.


@contextmanager
def held(request: Any) -> Iterator[None]:
    """Hold the key of a unique job while it runs; nothing, for any other job. The engine's task does this.

    Let go at the end, whatever the outcome; held on to if the job comes again, because it is retried or put off. Raises :class:`PutOff`
    if another job holds the key, which is so only if this one had lost it: they do not run at once.
    """
    told = _told(request)
    if told is None:
        yield
        return
    key, waits = told
    run, lease = uuid.uuid4(), renewal.LEASE
    holder = _one(_TAKE, _row(key, str(request.id), run, lease))
    if holder is None:
        raise PutOff(LIMIT, f"Another job holds the key {key!r}.", seconds=seconds_spread())
    is_coming_again = False
    try:
        with Renewal(lambda: _changed(_EXTEND, _row(key, "", run, lease)), lease=lease, what=key):
            yield
    except (Retry, Reject) as error:
        is_coming_again = isinstance(error, Retry) or bool(error.requeue)
        raise
    finally:
        if is_coming_again:
            _attempt(key, lambda: _changed(_EXTEND, _row(key, "", run, waits)))
        else:
            _attempt(key, lambda: _changed(_LET_GO, _row(key, "", run, waits)))


def _told(request: Any) -> tuple[str, timedelta] | None:
    """What the message says of its key; nothing for what no one of us wrote."""
    told = (getattr(request, "headers", None) or {}).get(HEADER)
    if not isinstance(told, dict) or not request.id:
        return None
    try:
        unique = UniqueKey(key=str(told["key"]), waits=timedelta(seconds=float(told["waits"])))
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    return unique.key, unique.waits


def _attempt(key: str, act: Callable[[], object]) -> None:
    try:
        act()
    except DatabaseError as error:
        # The run's own outcome counts; the key lapses.
        logger.warning("permit not given back", extra={"key": key, "reason": str(error)[:300]})


def _row(key: str, task_id: str, run: uuid.UUID | None, lasts: timedelta) -> dict[str, Any]:
    return {"key": key, "task_id": task_id, "run": run, "lasts": lasts}


def _one(statement: str, parameters: Any) -> str | None:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        row = cursor.fetchone()
    return None if row is None else str(row[0])


def _changed(statement: str, parameters: dict[str, Any]) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return bool(cursor.rowcount)
