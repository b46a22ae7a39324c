"""One run holds a work, and writes where it is.

    take ──▶ fence n ── save, report ──▶ written under n
      │                  └─ somebody took n + 1 ──▶ Overtaken
      └─ held by a later run of the same job ─────▶ Overtaken

Source: the fencing token of Kleppmann, Designing Data-Intensive Applications, chapter 8. The token is counted here and not the ledger's,
because a work that is enqueued again is another job, and two jobs' tokens cannot be compared.
"""

import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, Self

from django.db import connection, transaction
from django.db.models import F, Q
from django.db.models.functions import Now

from app.engine.job_ledger import fence_of
from app.engine.progress.errors import Overtaken
from app.engine.progress.models import LONGEST_KEY, LONGEST_LABEL, Checkpoint

logger = logging.getLogger(__name__)

SHOWN_EVERY = timedelta(seconds=1)
LARGEST_STATE = 16 * 1024

# | held under n ──save by n──▶ checkpoint of n, shown raised |  ──report by n──▶ shown raised |
# | held under n + 1 ──save, report by n──▶ nothing |
_IS_HELD = "key = %(key)s AND fence = %(fence)s"
_SHOWN_RAISED = """
    shown_current = greatest(shown_current, %(current)s),
    shown_total = CASE WHEN coalesce(%(total)s, shown_total) IS NOT NULL
        THEN greatest(coalesce(%(total)s, shown_total), shown_current, %(current)s) END,
    shown_percent = greatest(shown_percent, CASE WHEN coalesce(%(total)s, shown_total) > 0
        THEN least(100, %(current)s * 100 / coalesce(%(total)s, shown_total)) END),
    shown_label = coalesce(%(label)s, shown_label),
    shown_counts = shown_counts || (
        SELECT coalesce(jsonb_object_agg(name, greatest(value::bigint, (shown_counts ->> name)::bigint)), '{}')
        FROM jsonb_each_text(%(counts)s::jsonb) AS said (name, value)
    ),
    touched_at = clock_timestamp()"""
_CHECKPOINT_SET = "state = %(state)s::jsonb, current = %(exact)s, counts = counts || %(exact_counts)s::jsonb, saved_at = clock_timestamp(),"
_SAVE = f"UPDATE progress_checkpoint SET {_CHECKPOINT_SET} {_SHOWN_RAISED} WHERE {_IS_HELD}"  # noqa: S608 — our own words only
_REPORT = f"UPDATE progress_checkpoint SET {_SHOWN_RAISED} WHERE {_IS_HELD}"  # noqa: S608 — the same


@dataclass(frozen=True, kw_only=True, slots=True)
class Saved:
    """A checkpoint as it was saved, exactly."""

    state: Mapping[str, Any]
    current: int
    counts: Mapping[str, int]
    saved_at: datetime


def load(key: str) -> Saved | None:
    """The last checkpoint of the work; ``None`` before the first. To go on from it, :func:`take` the work."""
    row = Checkpoint.objects.filter(pk=key).first()
    return None if row is None else _saved(row)


def take(key: str, request: Any = None, *, clock: Callable[[], float] = time.monotonic) -> "Track":
    """Have this run hold the work; whoever held it before is refused from now on.

    ``request`` is ``self.request`` of a bound task. Without one, such as in a management command, nobody is asked to be a later run.

    Raises :class:`~app.engine.progress.errors.Overtaken` if a later run of the same job holds it, and ``ValueError`` for a key that is
    empty or longer than 255 characters.
    """
    if not 0 < len(key) <= LONGEST_KEY:
        raise ValueError(f"A key has 1 to {LONGEST_KEY} characters, such as 'reports.report:17'; this one has {len(key)}.")
    task_id, task_fence = str(getattr(request, "id", None) or ""), fence_of(request)
    with transaction.atomic():
        Checkpoint.objects.get_or_create(pk=key)
        # | held by another job, or by an earlier run of this one ──▶ held by this run |  by a later run of this job ──▶ unchanged |
        is_later = Q(task_id=task_id, task_fence__gt=task_fence) if task_id and task_fence is not None else Q(pk__in=[])
        taken = Checkpoint.objects.filter(~is_later | Q(task_fence=None), pk=key).update(
            fence=F("fence") + 1, task_id=task_id, task_fence=task_fence, touched_at=Now()
        )
        if not taken:
            logger.warning("overtaken run refused", extra={"work": key, "fence": task_fence})
            raise Overtaken(f"A later run of the job {task_id} works on {key}: this one, with fence {task_fence}, may not.")
        row = Checkpoint.objects.get(pk=key)
    saved = _saved(row)
    if saved is not None:
        logger.info("work resumed", extra={"work": key, "current": saved.current, "fence": row.fence})
    return Track(key=key, fence=row.fence, checkpoint=saved, clock=clock)


@dataclass(kw_only=True)
class Track:
    """The work, held by one run. At the end of its ``with`` the last word is shown, also when an exception ends it."""

    key: str
    fence: int
    checkpoint: Saved | None
    """Where an earlier run stopped; ``None`` for the first. It stays as it was found."""
    clock: Callable[[], float] = time.monotonic
    _unwritten: dict[str, Any] | None = field(default=None, init=False)
    _written_at: float = field(default=float("-inf"), init=False)

    def save(
        self,
        *,
        state: Mapping[str, Any],
        current: int,
        total: int | None = None,
        label: str | None = None,
        counts: Mapping[str, int] | None = None,
    ) -> None:
        """Write the checkpoint, as a part of the open transaction if there is one, and show it.

        ``counts`` and ``label`` that are not named stay as they are. Raises :class:`~app.engine.progress.errors.Overtaken`, which rolls
        the caller's transaction back, and ``ValueError`` for a state that is too large.
        """
        text = json.dumps(dict(state))
        if len(text) > LARGEST_STATE:
            raise ValueError(
                f"The checkpoint of {self.key} has {len(text):,} characters, at most {LARGEST_STATE:,} are kept: "
                "write the work to rows or files, and here only how far they go."
            )
        exact = {"state": text, "exact": current, "exact_counts": json.dumps(dict(counts or {}))}
        self._write(_SAVE, self._with_unwritten(current, total, label, counts) | exact)

    def report(self, *, current: int, total: int | None = None, label: str | None = None, counts: Mapping[str, int] | None = None) -> None:
        """Show how far the work is, once a second at most; the last word waits for the next call, or for the end of the ``with``.

        Call it outside of transactions: inside, people see nothing before the commit. Raises
        :class:`~app.engine.progress.errors.Overtaken` when it writes.
        """
        self._unwritten = self._with_unwritten(current, total, label, counts)
        if self.clock() - self._written_at >= SHOWN_EVERY.total_seconds():
            self.flush()

    def flush(self) -> None:
        """Write what :meth:`report` has kept back."""
        if self._unwritten is not None:
            self._write(_REPORT, self._unwritten)

    def _with_unwritten(self, current: int, total: int | None, label: str | None, counts: Mapping[str, int] | None) -> dict[str, Any]:
        """What is to be shown by now."""
        if current < 0 or (total is not None and total < 0):
            raise ValueError(f"The progress of {self.key} is counted from 0: got {current} of {total}.")
        kept = self._unwritten or {"current": 0, "total": None, "label": None, "counts": "{}"}
        return {
            "current": max(current, kept["current"]),
            "total": kept["total"] if total is None else total,
            "label": kept["label"] if label is None else label[:LONGEST_LABEL],
            "counts": json.dumps({**json.loads(kept["counts"]), **(counts or {})}),
        }

    def _write(self, statement: str, said: dict[str, Any]) -> None:
        self._unwritten = None
        with connection.cursor() as cursor:
            cursor.execute(statement, said | {"key": self.key, "fence": self.fence})
            is_written = cursor.rowcount == 1
        if not is_written:
            logger.warning("overtaken run refused", extra={"work": self.key, "fence": self.fence})
            raise Overtaken(f"A later run works on {self.key}: this one, with fence {self.fence}, is over.")
        self._written_at = self.clock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None:
            self.flush()
        elif not isinstance(error, Overtaken) and not connection.in_atomic_block:
            try:
                self.flush()
            except Exception:  # the run ends for a reason of its own, which its caller shall hear
                logger.exception("last progress not shown", extra={"work": self.key})


def _saved(row: Checkpoint) -> Saved | None:
    if row.saved_at is None:
        return None
    return Saved(state=row.state, current=row.current, counts=row.counts, saved_at=row.saved_at)
