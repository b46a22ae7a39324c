"""Results of many runs, stored together.

A run that holds its claim for longer than a write can take is the only one that may say anything of its job: its result
needs no condition, and twenty-five of those are one request. Everything else is a conditional write of its own.
"""

import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from app.engine.aws.errors import is_transient
from app.engine.job_ledger import Keeping
from app.engine.ledger.claims import KEY, is_condition
from app.engine.ledger.groups import GroupWriter, put_together

logger = logging.getLogger(__name__)

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
        self._singles: ThreadPoolExecutor | None = None
        self._groups: GroupWriter[Result] = GroupWriter(
            self._write, what="results", linger_seconds=LINGER_SECONDS, most_threads=MOST_THREADS, clock=clock
        )

    def put(self, result: Result) -> None:
        """Store that as soon as may be. Never waits."""
        self._groups.put(result)

    def flush(self, within: float) -> bool:
        """Store everything now; false if something is left after so many seconds."""
        return self._groups.flush(within)

    def close(self) -> None:
        """End the threads when they have nothing to do. What is put later is not stored."""
        self._groups.close()
        if self._singles is not None:
            self._singles.shutdown(wait=False)

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
            left = put_together(self._client(), self._table, (result.item for result in results))
        except Exception as error:  # noqa: BLE001 — whatever DynamoDB, the network or the credentials came up with
            # One bad item refuses the whole request: find it by writing each alone.
            return results if is_transient(error) else self._write_each(results)
        for key, result in by_key.items():
            if key not in left:
                self._tell(result, Keeping.STORED)
        return [by_key[key] for key in left]

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
