"""Results of many runs, stored together.

A run that holds its claim for longer than a write can take is the only one that may say anything of its job: its result
needs no condition, and twenty-five of those are one request. Everything else is a conditional write of its own.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from app.engine.aws.backoff import Backoff
from app.engine.aws.errors import is_transient
from app.engine.job_ledger import Keeping
from app.engine.ledger.claims import KEY, is_condition

logger = logging.getLogger(__name__)

#: https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchWriteItem.html
ITEMS_PER_WRITE = 25
#: How long a result may wait for others.
LINGER_SECONDS = 0.02
MOST_THREADS = 2
SINGLE_WRITES_AT_ONCE = 8


@dataclass(slots=True, eq=False)
class Result:
    """One outcome to be stored."""

    item: dict[str, Any]
    then: Callable[[Keeping], None]
    is_ours_until: float
    """Monotonic: until then nobody else can have claimed the job. 0 if it is not claimed."""
    condition: dict[str, Any]
    """Of the write, when that is not certain any more."""

    @property
    def key(self) -> str:
        return str(self.item[KEY]["S"])


class ResultWriter:
    """Promise: a result is written again until the table has it, or refuses it for good. ``client()`` is DynamoDB's.

    Limit: what waits is in memory. A killed worker's jobs come again, as their messages were not deleted.
    """

    def __init__(
        self, client: Callable[[], Any], table: str, *, longest_write_seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._client = client
        self._table = table
        self._longest_write = longest_write_seconds
        self._clock = clock
        self._changed = threading.Condition()
        self._waiting: deque[tuple[float, Result]] = deque()
        self._under_way = 0
        self._threads = 0
        self._idle = 0
        self._hurry = False
        self._closed = False
        self._not_before = 0.0
        self._backoff = Backoff()
        self._singles: ThreadPoolExecutor | None = None

    def put(self, result: Result) -> None:
        """Store that as soon as may be. Never waits."""
        with self._changed:
            self._waiting.append((self._clock(), result))
            if self._idle == 0 and self._threads < MOST_THREADS:
                self._start()
            elif len(self._waiting) == 1 or len(self._waiting) >= ITEMS_PER_WRITE:
                self._changed.notify()

    def flush(self, within: float) -> bool:
        """Store everything now; false if something is left after so many seconds."""
        with self._changed:
            self._hurry = True
            self._not_before = 0.0
            self._changed.notify_all()
            done = self._changed.wait_for(lambda: not self._waiting and not self._under_way, within)
            self._hurry = False
            return done

    def close(self) -> None:
        """End the threads when they have nothing to do. What is put later is not stored."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._singles is not None:
            self._singles.shutdown(wait=False)

    def _start(self) -> None:
        try:
            threading.Thread(target=self._run, name="ledger-write", daemon=True).start()
        except RuntimeError as error:  # no more threads: the next result tries again
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
            self._end(len(batch), again)

    def _next(self) -> list[Result]:
        """Wait for a batch that is full or old enough, and take it; nothing after :meth:`close`."""
        with self._changed:
            while True:
                now = self._clock()
                if self._waiting:
                    linger = 0.0 if self._hurry or len(self._waiting) >= ITEMS_PER_WRITE else LINGER_SECONDS
                    due = max(self._waiting[0][0] + linger, self._not_before)
                    if due <= now:
                        batch = self._taken()
                        self._under_way += len(batch)
                        return batch
                elif self._closed:
                    return []
                else:
                    due = now + 3600
                self._idle += 1
                self._changed.wait(due - now)
                self._idle -= 1

    def _taken(self) -> list[Result]:
        """The oldest, each key once: what is said later of a job waits for what was said before."""
        batch: dict[str, Result] = {}
        kept: list[tuple[float, Result]] = []
        while self._waiting and len(batch) < ITEMS_PER_WRITE:
            since, result = self._waiting.popleft()
            if result.key in batch:
                kept.append((since, result))
            else:
                batch[result.key] = result
        self._waiting.extendleft(reversed(kept))
        return list(batch.values())

    def _end(self, count: int, again: list[Result]) -> None:
        with self._changed:
            self._under_way -= count
            if again:
                if self._backoff.failed():
                    logger.warning("results not stored, trying again", extra={"results": len(again)})
                self._not_before = self._clock() + self._backoff.pause_seconds
                now = self._clock()
                self._waiting.extendleft((now, result) for result in reversed(again))
            elif self._backoff.succeeded():
                logger.info("results are stored again")
            self._changed.notify_all()

    # -- requests ---------------------------------------------------------------------------------------------------------

    def _write(self, batch: list[Result]) -> list[Result]:
        """Returns what has to be written again."""
        certain_until = self._clock() + self._longest_write
        together = [result for result in batch if result.is_ours_until > certain_until]
        alone = [result for result in batch if result.is_ours_until <= certain_until]
        if len(together) == 1:
            together, alone = [], [*alone, *together]
        again = self._write_together(together) if together else []
        return [*again, *self._write_each(alone)]

    def _write_together(self, results: list[Result]) -> list[Result]:
        by_key = {result.key: result for result in results}
        try:
            answer = self._client().batch_write_item(
                RequestItems={self._table: [{"PutRequest": {"Item": result.item}} for result in results]}
            )
        except Exception as error:  # noqa: BLE001 — whatever DynamoDB, the network or the credentials came up with
            # One bad item refuses the whole request: find it by writing each alone.
            return results if is_transient(error) else self._write_each(results)
        unprocessed = {put["PutRequest"]["Item"][KEY]["S"] for put in (answer.get("UnprocessedItems") or {}).get(self._table, ())}
        for key, result in by_key.items():
            if key not in unprocessed:
                self._tell(result, Keeping.STORED)
        return [by_key[key] for key in unprocessed]

    def _write_each(self, results: list[Result]) -> list[Result]:
        if len(results) <= 1:
            outcomes = [self._write_alone(result) for result in results]
        else:
            if self._singles is None:
                self._singles = ThreadPoolExecutor(SINGLE_WRITES_AT_ONCE, thread_name_prefix="ledger-write-one")
            outcomes = list(self._singles.map(self._write_alone, results))
        return [result for result, is_done in zip(results, outcomes, strict=True) if not is_done]

    def _write_alone(self, result: Result) -> bool:
        """True if there is nothing left to do."""
        try:
            self._client().put_item(TableName=self._table, Item=result.item, **result.condition)
        except Exception as error:
            if is_transient(error):
                return False
            if isinstance(error, ClientError) and is_condition(error):
                # Either another run has the job, or the job has succeeded: in neither case is there more to say.
                is_claimed = "fence" in result.item
                logger.info("result not stored: the ledger knows better", extra={"key": result.key})
                self._tell(result, Keeping.LOST if is_claimed else Keeping.STORED)
                return True
            logger.exception("ledger refuses the state, message given back", extra={"key": result.key}, exc_info=error)
            self._tell(result, Keeping.REFUSED)
            return True
        self._tell(result, Keeping.STORED)
        return True

    @staticmethod
    def _tell(result: Result, keeping: Keeping) -> None:
        try:
            result.then(keeping)
        except Exception:
            # It is stored: writing it again because somebody could not bear to hear that would help nobody.
            logger.exception("ledger: unexpected error, going on")
