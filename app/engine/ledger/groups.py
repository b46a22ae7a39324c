"""What many threads want written, written in groups: twenty-five items are one request."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Generic, Protocol, TypeVar

from app.engine.aws.backoff import Backoff
from app.engine.ledger.claims import KEY

logger = logging.getLogger(__name__)

#: https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchWriteItem.html
ITEMS_PER_WRITE = 25


class Entry(Protocol):
    """Something to be written under a key."""

    @property
    def key(self) -> str: ...


E = TypeVar("E", bound=Entry)


class GroupWriter(Generic[E]):
    """Promise: ``write`` gets each entry again until it leaves it out of what it returns; two entries of one key never at once, and in order.

    ``write`` runs in one of ``most_threads`` daemon threads of this process, which are started when they are needed. Limit: what waits is
    in memory, and of more than ``most_waiting`` the oldest are dropped, with a log line. A forked child needs a writer of its own.
    """

    def __init__(
        self,
        write: Callable[[list[E]], list[E]],
        *,
        what: str,
        linger_seconds: float,
        most_threads: int,
        most_waiting: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._write = write
        self._what = what
        self._linger = linger_seconds
        self._most_threads = most_threads
        self._most_waiting = most_waiting
        self._clock = clock
        self._changed = threading.Condition()
        self._waiting: deque[tuple[float, E]] = deque()
        self._under_way: set[str] = set()
        self._threads = 0
        self._idle = 0
        self._hurry = False
        self._closed = False
        self._not_before = 0.0
        self._backoff = Backoff()
        self.is_failing = False
        """Whether the last group could not be written."""

    def put(self, *entries: E) -> None:
        """Write these as soon as may be. Never waits."""
        with self._changed:
            now = self._clock()
            self._waiting.extend((now, entry) for entry in entries)
            if self._most_waiting is not None and len(self._waiting) > self._most_waiting:
                self._drop(len(self._waiting) - self._most_waiting)
            if self._idle == 0 and self._threads < self._most_threads:
                self._start()
            elif len(self._waiting) <= len(entries) or len(self._waiting) >= ITEMS_PER_WRITE:
                self._changed.notify()

    def flush(self, within: float) -> bool:
        """Write everything now; false if something is left after so many seconds."""
        with self._changed:
            self._hurry = True
            self._not_before = 0.0
            self._changed.notify_all()
            done = self._changed.wait_for(lambda: not self._waiting and not self._under_way, within)
            self._hurry = False
            return done

    def close(self) -> None:
        """End the threads when they have nothing to do. What is put later is not written."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _drop(self, count: int) -> None:
        for _ in range(count):
            self._waiting.popleft()
        logger.warning("%s dropped: too many wait", self._what, extra={"dropped": count})

    def _start(self) -> None:
        try:
            threading.Thread(target=self._run, name="ledger-write", daemon=True).start()
        except RuntimeError as error:  # no more threads: the next entry tries again
            logger.warning("no thread to write to the ledger", extra={"reason": str(error)})
        else:
            self._threads += 1

    def _run(self) -> None:
        while batch := self._next():
            again = batch
            try:
                again = self._write(batch)
            except Exception:
                logger.exception("ledger: unexpected error, going on")
            self._end(batch, again)

    def _next(self) -> list[E]:
        """Wait for a group that is full or old enough, and take it; nothing after :meth:`close`."""
        with self._changed:
            while True:
                now = self._clock()
                due = now + 3600
                if self._waiting:
                    linger = 0.0 if self._hurry or len(self._waiting) >= ITEMS_PER_WRITE else self._linger
                    due = max(self._waiting[0][0] + linger, self._not_before)
                    if due <= now:
                        if batch := self._taken():
                            self._under_way.update(entry.key for entry in batch)
                            return batch
                        due = now + 3600  # all of it waits for what another thread is writing
                elif self._closed:
                    return []
                self._idle += 1
                self._changed.wait(due - now)
                self._idle -= 1

    def _taken(self) -> list[E]:
        """The oldest, each key once: what is said later under a key waits for what was said before."""
        batch: dict[str, E] = {}
        kept: list[tuple[float, E]] = []
        while self._waiting and len(batch) < ITEMS_PER_WRITE:
            since, entry = self._waiting.popleft()
            if entry.key in batch or entry.key in self._under_way:
                kept.append((since, entry))
            else:
                batch[entry.key] = entry
        self._waiting.extendleft(reversed(kept))
        return list(batch.values())

    def _end(self, batch: list[E], again: list[E]) -> None:
        with self._changed:
            self._under_way.difference_update(entry.key for entry in batch)
            self.is_failing = bool(again)
            if again:
                if self._backoff.failed():
                    logger.warning("%s not stored, trying again", self._what, extra={self._what: len(again)})
                self._not_before = self._clock() + self._backoff.pause_seconds
                now = self._clock()
                self._waiting.extendleft((now, entry) for entry in reversed(again))
            elif self._backoff.succeeded():
                logger.info("%s are stored again", self._what)
            self._changed.notify_all()


def put_together(client: Any, table: str, items: Iterable[dict[str, Any]]) -> frozenset[str]:
    """One request. Returns the keys of what DynamoDB did not get round to; raises what the client raises."""
    answer = client.batch_write_item(RequestItems={table: [{"PutRequest": {"Item": item}} for item in items]})
    return frozenset(put["PutRequest"]["Item"][KEY]["S"] for put in (answer.get("UnprocessedItems") or {}).get(table, ()))
