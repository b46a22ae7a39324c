"""What stands around a call."""

import logging
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from threading import Lock
from typing import TypeVar
from uuid import uuid4

from app.engine.aws.errors import AwsRefused, AwsUnavailable
from app.engine.circuit_breaker.errors import CircuitOpen
from app.engine.circuit_breaker.own_records import OwnRecords
from app.engine.circuit_breaker.policy import LONGEST_NAME, BreakerPolicy
from app.engine.circuit_breaker.record import Record, Records, State
from app.engine.circuit_breaker.shared_records import shared_records
from app.engine.conf import engine_settings
from app.engine.errors import TransientError
from app.engine.metrics.emf import emit
from app.topology import metrics

logger = logging.getLogger(__name__)
T = TypeVar("T")

SEEN_FOR_SECONDS = 1.0
"""How long a process believes what it has read."""
ALONE_FOR_SECONDS = 5.0
"""How long it counts for itself before it asks the table again."""
LONGEST_LOOK_SECONDS = 5.0
"""Who waits for another one's probe comes again so soon."""
_JITTER = 0.1


@dataclass(frozen=True, kw_only=True, slots=True)
class _Pass:
    """Leave to call. ``held`` is the record of a probe."""

    held: Record | None = None
    has_failures: bool = False


class Breaker:
    """One breaker in one process; thread-safe. Costs at most one read a second, a write a failure, and none for a success while no failure is counted.

    ``records`` are those of all workers, ``own`` those that stand in for them while they are away.
    """

    def __init__(
        self,
        name: str,
        policy: BreakerPolicy,
        *,
        records: Callable[[], Records],
        own: Records,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if not 0 < len(name) <= LONGEST_NAME:
            raise ValueError(f"A breaker's name has 1 to {LONGEST_NAME} characters, got {name!r:.200}")
        self.name = name
        self.policy = policy
        self._shared = records
        self._own = own
        self._clock = clock
        self._lock = Lock()
        self._seen: Record | None = None
        self._seen_at = 0.0
        self._alone_until = 0.0

    @contextmanager
    def call(self) -> Iterator[None]:
        """Around one call. A ``TransientError`` in it is a failure, to end without an error a success, any other error says nothing.

        Raises :class:`CircuitOpen` before anything has left.
        """
        leave = self._admit()
        try:
            yield
        except TransientError as error:
            self._failed(leave, f"{type(error).__name__}: {error}")
            raise
        except BaseException:
            if leave.held is not None:
                held = leave.held
                self._ask(lambda records: records.return_probe(self.name, held.probe, self._clock()))
                self._forget()
            raise
        self._succeeded(leave)

    # -- before ---------------------------------------------------------------------------------------------------------------

    def _admit(self) -> _Pass:
        now = self._clock()
        record = self._look(now)
        if record.state(now) is State.HALF_OPEN and now >= record.probe_until:
            token = uuid4().hex
            record = self._ask(lambda records: records.take_probe(self.name, self.policy, token, now))
            self._saw(record, now)
            if record.probe == token:
                logger.info("breaker probed", extra={"breaker": self.name})
                return _Pass(held=record)
        if record.state(now) is State.CLOSED:
            return _Pass(has_failures=record.failures > 0)
        raise self._refusal(record, now)

    def _refusal(self, record: Record, now: float) -> CircuitOpen:
        if record.state(now) is State.OPEN:
            seconds, why = record.open_until - now, f"it failed {record.failures} times in a row. {record.reason}".strip()
        else:
            seconds, why = min(record.probe_until - now, LONGEST_LOOK_SECONDS), "a probe is under way"
        # Not all at the same moment.
        return CircuitOpen(self.name, why, timedelta(seconds=max(seconds, 1.0) * (1 + random.random() * _JITTER)))  # noqa: S311 — no secret

    def _look(self, now: float) -> Record:
        with self._lock:
            if self._seen is not None and 0 <= now - self._seen_at < SEEN_FOR_SECONDS:
                return self._seen
        record = self._ask(lambda records: records.read(self.name))
        self._saw(record, now)
        return record

    # -- after ----------------------------------------------------------------------------------------------------------------

    def _succeeded(self, leave: _Pass) -> None:
        now = self._clock()
        if leave.held is not None:
            probe = leave.held.probe
            if self._ask(lambda records: records.settle(self.name, probe, now)):
                logger.info("breaker closed", extra={"breaker": self.name})
        elif leave.has_failures:
            self._ask(lambda records: records.forget_failures(self.name, now))
        else:
            return
        self._forget()

    def _failed(self, leave: _Pass, reason: str) -> None:
        now = self._clock()
        held = leave.held
        if held is not None:
            record = self._ask(lambda records: records.open_again(held, self.policy, reason, now))
        else:
            record = self._ask(lambda records: records.count_failure(self.name, self.policy, reason, now))
        if record is None:
            self._forget()
            return
        self._saw(record, now)
        if record.state(now) is State.OPEN:
            extra = {"breaker": self.name, "seconds": round(record.open_until - now, 1), "reason": record.reason}
            logger.warning("breaker opened", extra=extra)
            emit(metrics.BREAKER_OPENINGS, 1, {metrics.DEPLOYMENT: engine_settings().name_prefix, "Breaker": self.name})

    # -- the records ----------------------------------------------------------------------------------------------------------

    def _saw(self, record: Record, now: float) -> None:
        with self._lock:
            self._seen, self._seen_at = record, now

    def _forget(self) -> None:
        with self._lock:
            self._seen = None

    # | shared ── it does not answer ──▶ alone, for 5 s ── it answers ──▶ shared |
    def _ask(self, question: Callable[[Records], T]) -> T:
        if self._clock() >= self._alone_until:
            try:
                answer = question(self._shared())
                self._alone_until = 0.0
                return answer
            except (AwsUnavailable, AwsRefused) as error:
                if self._alone_until == 0.0:
                    logger.warning("breaker counts alone", extra={"breaker": self.name, "reason": str(error)[:300]})
                # Not from when it was asked: a table that hangs would be asked by every call.
                self._alone_until = self._clock() + ALONE_FOR_SECONDS
        return question(self._own)


@cache
def breaker(name: str, policy: BreakerPolicy = BreakerPolicy()) -> Breaker:  # noqa: B008 — frozen
    """The breaker of that name in this process. Give each name one policy: what is noted under the name is shared by all who use it."""
    return Breaker(name, policy, records=shared_records, own=_OWN)


_OWN = OwnRecords()
