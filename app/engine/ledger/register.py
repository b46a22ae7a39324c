"""A record of every job from its enqueuing on, written together with others.

    (none) ──begin──▶ enqueued-<id> ──not sent──▶ enqueued-<id>, with why
       └──a job is enqueued that it follows──▶ awaited-<id>

An item of its own beside that of the job's claim: a request of 25 has no conditions, and a worker may be faster than the write.
Written again, it says the same again. Which of the items tells the job's state is decided where they are read (``app/engine/jobs``).
"""

import atexit
import logging
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from botocore.exceptions import ClientError
from celery.utils.nodenames import anon_nodename

from app.engine.aws import clients
from app.engine.conf import EngineSettings
from app.engine.job_ledger import Enqueued
from app.engine.ledger.claims import KEY, TTL
from app.engine.ledger.groups import GroupWriter, put_together
from app.engine.ledger.lineage import followers_of, lineage_of
from app.engine.ledger.records import shard_of, sharded
from app.topology.naming import table_name
from app.topology.tables import LEDGER

logger = logging.getLogger(__name__)

BY_TENANT = LEDGER.index("tenant")
ENQUEUED_PREFIX = "enqueued-"
AWAITED_PREFIX = "awaited-"
#: How long whoever enqueues waits for the confirmation.
PATIENCE_SECONDS = 1.0
#: After a wait in vain nobody waits for so long: a ledger that is away must not slow down every ``delay()``.
AWAY_SECONDS = 5.0
#: Records that wait for a ledger that is away, in each process.
MOST_WAITING = 10_000
EXIT_SECONDS = 3.0
LONGEST_REASON = 500


class Batch:
    """The records of one call, on their way: a :class:`~app.engine.job_ledger.Recording`."""

    def __init__(self, register: "Register", writer: "GroupWriter[Record]", *, is_kept: bool = False) -> None:
        self._register = register
        self._is_kept = is_kept
        self._writer = writer
        self._changed = threading.Condition()
        self._items: dict[str, dict[str, Any]] = {}
        self._outstanding: Counter[str] = Counter()

    def write(self, items: Iterable[dict[str, Any]]) -> None:
        records = [Record(item, self) for item in items]
        with self._changed:
            self._outstanding.update(record.key for record in records)
            self._items |= {record.key: record.item for record in records}
        self._writer.put(*records)

    def not_sent(self, reasons: Mapping[str, str], *, is_certain: bool) -> None:
        name = "not_sent" if is_certain else "unanswered"
        known = ((self._items.get(ENQUEUED_PREFIX + task_id), reason) for task_id, reason in reasons.items())
        self.write(item | {name: {"S": reason[:LONGEST_REASON]}} for item, reason in known if item is not None)

    def wait(self) -> bool:
        with self._changed:
            is_over = self._changed.wait_for(lambda: not self._outstanding or self._register.is_away, PATIENCE_SECONDS)
            if not is_over:
                self._register.note_away("no answer within a second")
            late = [self._items[key] for key in self._outstanding]
        if late and not self._is_kept:
            self._register.keep_late(late)
        return not late

    def note_written(self, key: str) -> None:
        with self._changed:
            self._outstanding[key] -= 1
            self._outstanding = +self._outstanding
            if not self._outstanding:
                self._changed.notify_all()

    def wake(self) -> None:
        """There may be nothing to wait for any more."""
        with self._changed:
            self._changed.notify_all()


@dataclass(slots=True, eq=False)
class Record:
    """One item, and who waits for it."""

    item: dict[str, Any]
    batch: Batch = field(repr=False)

    @property
    def key(self) -> str:
        return str(self.item[KEY]["S"])


class Register:
    """A :class:`~app.engine.job_ledger.JobRegister` on DynamoDB. Any number of threads share its one writing thread.

    While DynamoDB is away, jobs are enqueued without waiting, and their records follow when it is back. Until then ``keep`` has them,
    which may raise; it is :func:`app.engine.outbox.late_records.keep`.
    Limit: records of which neither knows are lost with their process.
    """

    def __init__(
        self,
        settings: Callable[[], EngineSettings],
        *,
        keep: Callable[[list[dict[str, Any]]], None] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._keep = keep
        self._keep_again_at = 0.0
        self._clock = clock
        self._away_until = 0.0
        # A child finds none under its own id, and begins anew: its parent's threads and locks are not its own.
        self._writers: dict[int, GroupWriter[Record]] = {}

    def begin(self, jobs: Sequence[Enqueued]) -> Batch:
        batch = Batch(self, self._writer)
        try:
            batch.write(self._items(jobs))
        except Exception:
            logger.exception("jobs enqueued without a record")
        return batch

    @property
    def is_away(self) -> bool:
        return time.monotonic() < self._away_until

    def note_away(self, reason: str) -> None:
        """Nobody waits for a while."""
        if not self._away_until:
            logger.warning("ledger does not confirm that jobs are enqueued, going on", extra={"reason": reason[:LONGEST_REASON]})
        self._away_until = time.monotonic() + AWAY_SECONDS

    def write(self, items: list[dict[str, Any]]) -> bool:
        """Write items that were kept. False if the ledger does not confirm all of them within a second, or is known to be away."""
        batch = Batch(self, self._writer, is_kept=True)
        batch.write(items)
        return batch.wait()

    def keep_late(self, items: list[dict[str, Any]]) -> None:
        """What the ledger does not confirm must not depend on this process alone. Never raises."""
        if self._keep is None or time.monotonic() < self._keep_again_at:
            return
        try:
            self._keep(items)
        except Exception as error:  # noqa: BLE001 — the database is away as well: what this process remembers is all there is
            self._keep_again_at = time.monotonic() + AWAY_SECONDS
            logger.warning(
                "enqueued jobs recorded in this process only", extra={"reason": f"{type(error).__name__}: {error}"[:LONGEST_REASON]}
            )

    # -- items ------------------------------------------------------------------------------------------------------------

    def _items(self, jobs: Sequence[Enqueued]) -> list[dict[str, Any]]:
        now = self._clock()
        lives = {TTL: {"N": str(int(now + self._settings().result_ttl.total_seconds()))}, "enqueued_at": {"N": f"{now:.3f}"}}
        items: dict[str, dict[str, Any]] = {}
        for job in jobs:
            task_id = str(job.headers.get("id") or "")
            if not task_id:
                continue
            # A retry is told by the ledger already.
            if not job.headers.get("retries"):
                items[ENQUEUED_PREFIX + task_id] = lives | self._enqueued(task_id, job, now)
            for follower, task in followers_of(job.body).items():
                items[AWAITED_PREFIX + follower] = lives | {"task": {"S": task}, "awaits": {"S": task_id}}
        return [item | {KEY: {"S": key}} for key, item in items.items()]

    @staticmethod
    def _enqueued(task_id: str, job: Enqueued, now: float) -> dict[str, Any]:
        headers = job.headers
        item: dict[str, Any] = {
            "task": {"S": str(headers.get("task"))},
            "queue": {"S": job.queue},
            "origin": {"S": str(headers.get("origin") or anon_nodename())},
        }
        if eta := headers.get("eta"):
            item["eta"] = {"S": str(eta)}
        if job.tenant:
            item[BY_TENANT.partition_key.name] = {"S": sharded(job.tenant, shard_of(task_id))}
            item[BY_TENANT.sort_key.name] = {"N": f"{now:.3f}"}
        return item | lineage_of(
            task_id=task_id, root=headers.get("root_id"), parent=headers.get("parent_id"), group=headers.get("group"), tenant=job.tenant
        )

    # -- writing ----------------------------------------------------------------------------------------------------------

    @property
    def _writer(self) -> "GroupWriter[Record]":
        writer = self._writers.get(os.getpid())
        return writer if writer is not None else self._open()

    def _open(self) -> "GroupWriter[Record]":
        # Without the lock, which a parent may have held when it forked: one of two threads' writers stays.
        settings = self._settings()
        client = partial(clients.lean_dynamodb, settings)
        table = table_name(settings.name_prefix, LEDGER.name)
        writer: GroupWriter[Record] = GroupWriter(
            partial(self._write, client, table), what="enqueued jobs", linger_seconds=0, most_threads=1, most_waiting=MOST_WAITING
        )
        kept = self._writers.setdefault(os.getpid(), writer)
        if kept is writer:
            self._away_until = 0.0
            atexit.register(self._finish, writer, os.getpid())
        return kept

    @staticmethod
    def _finish(writer: "GroupWriter[Record]", owner: int) -> None:
        if os.getpid() != owner:
            return  # a child inherits what its parent does at its exit, and locks that nobody will ever release
        writer.flush(EXIT_SECONDS)
        writer.close()

    def _write(self, client: Callable[[], Any], table: str, records: list[Record]) -> list[Record]:
        """Returns what has to be written again."""
        try:
            left = put_together(client(), table, (record.item for record in records))
        except Exception as error:
            # All but a bad item may be over in a moment: a table that is being made, a permission that was forgotten.
            if not isinstance(error, ClientError) or error.response["Error"]["Code"] != "ValidationException":
                self.note_away(f"{type(error).__name__}: {error}")
                for record in records:
                    record.batch.wake()
                return records
            if len(records) == 1:
                logger.exception("ledger refuses the record of an enqueued job", extra={"key": records[0].key})
                records[0].batch.note_written(records[0].key)
                return []
            # One bad item refuses the whole request: find it by writing each alone.
            return [again for record in records for again in self._write(client, table, [record])]
        if self._away_until:
            self._away_until = 0.0
            logger.info("ledger confirms again that jobs are enqueued")
        for record in records:
            if record.key not in left:
                record.batch.note_written(record.key)
        return [record for record in records if record.key in left]
