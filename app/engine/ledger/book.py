"""The worker's side of the ledger: claims for what it receives, results for what it has run.

main process    admit ──▶ claims, ten at once          when_kept ──▶ writer, twenty-five a request
                                                           ▲
child process   run ──▶ LedgerBackend ──▶ handover ────────┘
"""

import logging
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any
from uuid import uuid4

from celery import Celery, signals, states

from app.engine.aws import clients
from app.engine.aws.wire.connection import LONGEST_PAUSE_SECONDS
from app.engine.aws.wire.dynamodb import ATTEMPTS
from app.engine.conf import EngineSettings
from app.engine.job_ledger import RUN, Admission, Delivery, Keeping, Verdict
from app.engine.ledger.claims import Claims
from app.engine.ledger.handover import Handed, Handover
from app.engine.ledger.writer import Result, ResultWriter
from app.topology.naming import table_name
from app.topology.tables import LEDGER

logger = logging.getLogger(__name__)

#: Claims that are renewed, given back and closed, each by a thread; those of a receive are one thread's.
WRITES_AT_ONCE = 10
#: After a claim that DynamoDB did not answer, others are not even tried for so long: each would cost a time-out.
AWAY_SECONDS = 2.0
#: How long a job waits whose earlier run may still go on, while the ledger cannot say.
PUT_OFF_SECONDS = 10
#: What a loaded machine may add to a write.
SLACK_SECONDS = 3.0
#: Every attempt that the wire makes of one write, its pauses between them, and the slack: nothing of a write is under way for longer.
LONGEST_WRITE_SECONDS = ATTEMPTS * (clients.LEAN_ANSWER_TIMEOUT_SECONDS + LONGEST_PAUSE_SECONDS) + SLACK_SECONDS
#: Results that wait for Celery to hear of the end of their run.
REMEMBERED = 10_000
#: So long results may lie in the socket, which holds four MiB of them.
PAUSE_SECONDS = 0.05
_RETRY = {"S": states.RETRY}


class Book:
    """A :class:`~app.engine.job_ledger.JobLedger` on DynamoDB.

    A task is claimed unless it says ``claimed = False``, which saves a write and lets a repeated message run again.

    While DynamoDB is away, a job that was never received before runs without a claim, so that work goes on; one that may have
    been run waits.
    """

    def __init__(self, app: Celery, settings: Callable[[], EngineSettings], key_of: Callable[[str], str]) -> None:
        self._app = app
        self._settings = settings
        self._key_of = key_of
        self._lock = threading.Lock()
        self._handover: Handover | None = None
        self._closed = threading.Event()
        self._worker = ""
        self._results: OrderedDict[str, dict[str, Any]] = OrderedDict()
        self._ours_until: dict[str, float] = {}
        self._away_until = 0.0
        # Held weakly: a book goes with its application.
        signals.worker_init.connect(self._open)
        signals.worker_shutdown.connect(self.close)

    def _open(self, sender: Any, **_: Any) -> None:
        """In a worker's main process, before it forks."""
        settings = self._settings()
        client = partial(clients.lean_dynamodb, settings)
        table = table_name(settings.name_prefix, LEDGER.name)
        self._worker = str(getattr(sender, "hostname", "") or "worker")
        self._claims = Claims(
            client, table, holder=f"{self._worker}/{os.getpid()}/{uuid4().hex[:8]}", ttl=settings.result_ttl, release=settings.release
        )
        self._writer = ResultWriter(client, table, longest_write_seconds=LONGEST_WRITE_SECONDS)
        self._pool = ThreadPoolExecutor(WRITES_AT_ONCE, thread_name_prefix="ledger-claim")
        self._closed.clear()
        self._handover = Handover()
        self._taker = threading.Thread(target=self._take_in, args=(self._handover,), name="ledger-handover", daemon=True)
        self._taker.start()

    # -- claims -----------------------------------------------------------------------------------------------------------

    def admit(self, deliveries: Sequence[Delivery], lease_seconds: float) -> Sequence[Admission]:
        admissions: dict[int, Admission] = {}
        wanted = [position for position, delivery in enumerate(deliveries) if self._is_claimed(delivery)]
        asked_at = time.monotonic()
        if wanted and asked_at < self._away_until:
            admissions = {position: self._without_ledger(deliveries[position]) for position in wanted}
        elif wanted:
            answers = self._claim([deliveries[position] for position in wanted], lease_seconds)
            for position, answer in zip(wanted, answers, strict=True):
                delivery = deliveries[position]
                admissions[position] = self._without_ledger(delivery) if isinstance(answer, Exception) else answer
                if delivery.fence is not None:
                    self._ours_until[delivery.tag] = asked_at + lease_seconds
        return [admissions.get(position, RUN) for position in range(len(deliveries))]

    def _is_claimed(self, delivery: Delivery) -> bool:
        task = self._app.tasks.get(delivery.task)
        # What is acknowledged before it runs comes once at most: there is nothing to claim it against.
        return self._handover is not None and getattr(task, "claimed", True) and getattr(task, "acks_late", True)

    def _claim(self, deliveries: Sequence[Delivery], lease_seconds: float) -> Sequence[Admission | Exception]:
        try:
            wanted = [(self._key_of(delivery.task_id), delivery) for delivery in deliveries]
            answers: Sequence[Admission | Exception] = self._claims.claim(wanted, lease_seconds, self._worker)
        except Exception as error:  # noqa: BLE001 — whatever DynamoDB, the network or the credentials came up with
            answers = [error] * len(deliveries)
        problem = next((answer for answer in answers if isinstance(answer, Exception)), None)
        if problem is not None:
            if not self._is_away:
                logger.warning(
                    "ledger does not answer, going on without claims", extra={"reason": f"{type(problem).__name__}: {problem}"[:500]}
                )
            self._away_until = time.monotonic() + AWAY_SECONDS
        elif self._away_until:
            self._away_until = 0.0
            logger.info("ledger answers again")
        return answers

    @property
    def _is_away(self) -> bool:
        return self._away_until > 0

    @staticmethod
    def _without_ledger(delivery: Delivery) -> Admission:
        if delivery.receive_count <= 1:
            return RUN
        return Admission(
            verdict=Verdict.LATER, reason="it was received before, and the ledger cannot say what became of it", seconds=PUT_OFF_SECONDS
        )

    def renew(self, deliveries: Sequence[Delivery], lease_seconds: float) -> Sequence[Delivery]:
        kept = self._each(partial(self._renew, lease_seconds), deliveries)
        return [delivery for delivery, is_kept in zip(deliveries, kept, strict=True) if not is_kept]

    def _renew(self, lease_seconds: float, delivery: Delivery) -> bool:
        asked_at = time.monotonic()
        try:
            is_ours = self._claims.renew(self._key_of(delivery.task_id), delivery, lease_seconds)
        except Exception as error:  # noqa: BLE001 — as above; asked again in a third of the lease
            logger.warning("claim not renewed", extra={"task_id": delivery.task_id, "reason": str(error)[:300]})
            return True
        self._ours_until[delivery.tag] = asked_at + lease_seconds if is_ours else 0.0
        return is_ours

    def release(self, deliveries: Sequence[Delivery]) -> None:
        self._each(self._release, deliveries)

    def _release(self, delivery: Delivery) -> None:
        self._forget(delivery)
        try:
            self._claims.release(self._key_of(delivery.task_id), delivery)
        except Exception as error:  # noqa: BLE001 — as above; the claim ends by itself
            logger.warning("claim not given back", extra={"task_id": delivery.task_id, "reason": str(error)[:300]})

    def _each(self, act: Callable[[Delivery], Any], deliveries: Sequence[Delivery]) -> list[Any]:
        if len(deliveries) == 1:
            return [act(deliveries[0])]
        return list(self._pool.map(act, deliveries)) if self._handover is not None else [act(delivery) for delivery in deliveries]

    # -- results ----------------------------------------------------------------------------------------------------------

    def hand_over(self, tag: str, item: dict[str, Any]) -> bool:
        """In the process that has run the job: leave its final state to the worker. False: store it yourself."""
        handover = self._handover
        if handover is None:
            return False
        if not handover.is_mine:
            return handover.give(tag, item)
        self._note([(tag, item)])
        return True

    def note_stored(self, tag: str) -> None:
        """In the process that has run the job: it has stored itself what there was to say."""
        self.hand_over(tag, {})

    def _note(self, handed: Iterable[Handed]) -> None:
        with self._lock:
            self._remember(handed)

    def _remember(self, handed: Iterable[Handed]) -> None:
        self._results.update(handed)
        # Of runs that were settled before their result came: killed at their limit, revoked.
        while len(self._results) > REMEMBERED:
            self._results.popitem(last=False)

    def when_kept(self, delivery: Delivery, then: Callable[[Keeping], None], failure: str = "") -> None:
        self._collect()
        with self._lock:
            item = self._results.pop(delivery.tag, None)
        if item is None and delivery.fence is not None:
            self._pool.submit(self._close, delivery, then, failure)
            return
        if not item:
            self._kept(delivery, then, Keeping.STORED)
            return
        is_retried = item.get("state") == _RETRY
        self._writer.put(
            Result(
                item=item,
                then=partial(self._kept, delivery, _unless_lost(then) if is_retried else then),
                # The next attempt is on its way, and may claim the job at once.
                is_ours_until=0.0 if is_retried else self._ours_until.get(delivery.tag, 0.0),
                condition=condition_of(item),
            )
        )

    def _kept(self, delivery: Delivery, then: Callable[[Keeping], None], keeping: Keeping) -> None:
        self._forget(delivery)
        then(keeping)

    def _close(self, delivery: Delivery, then: Callable[[Keeping], None], failure: str) -> None:
        """A run that is over and had nothing to say."""
        try:
            self._claims.close(self._key_of(delivery.task_id), delivery, failure)
        except Exception as error:  # noqa: BLE001 — as above; its claim ends by itself, and no message is left that asks for another run
            logger.warning("claim not closed", extra={"task_id": delivery.task_id, "reason": str(error)[:300]})
        self._kept(delivery, then, Keeping.STORED)

    def _forget(self, delivery: Delivery) -> None:
        self._ours_until.pop(delivery.tag, None)
        with self._lock:
            self._results.pop(delivery.tag, None)

    def _take_in(self, handover: Handover) -> None:
        """Children must not wait for the main process: it may be waiting for them. At load :meth:`when_kept` takes in what there is."""
        while self._handover is handover:
            if handover.wait(60):
                self._collect()
                # A thread that wakes for each result would take a quarter of the main process's time.
                self._closed.wait(PAUSE_SECONDS)

    def _collect(self) -> None:
        with self._lock:
            # In one piece: what one thread has taken and not noted yet, another would miss, and close a run that has a result.
            if (handover := self._handover) is not None:
                self._remember(handover.take())

    def close(self, **_: Any) -> None:
        """End the threads, after the transport has settled everything. Celery's ``worker_shutdown``."""
        handover, self._handover = self._handover, None
        if handover is not None:
            self._writer.close()
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._closed.set()
            handover.give("", {})
            self._taker.join(5)
            handover.close()

    def flush(self, within: float) -> bool:
        if self._handover is None:
            return True
        self._collect()
        return self._writer.flush(within)


def _unless_lost(then: Callable[[Keeping], None]) -> Callable[[Keeping], None]:
    """What was retried has another message by now: this one is done with, whatever the record says."""
    return lambda keeping: then(Keeping.STORED if keeping is Keeping.LOST else keeping)


def condition_of(item: dict[str, Any]) -> dict[str, Any]:
    """Of a write that says what became of a run: a success stays, and a run whose claim was taken over says nothing."""
    names = {"#key": LEDGER.partition_key.name, "#state": "state"}
    values: dict[str, Any] = {":success": {"S": states.SUCCESS}}
    condition = "#state <> :success"
    if "fence" in item:
        names["#fence"] = "fence"
        values[":fence"] = item["fence"]
        condition += " AND (attribute_not_exists(#fence) OR #fence <= :fence)"
        if item.get("state") == _RETRY:
            # While DynamoDB was away, the next attempts may have been run without a claim, and have come to their end.
            values |= {":failure": {"S": states.FAILURE}, ":revoked": {"S": states.REVOKED}}
            condition += " AND NOT #state IN (:failure, :revoked)"
    return {
        "ConditionExpression": f"attribute_not_exists(#key) OR ({condition})",
        "ExpressionAttributeNames": names,
        "ExpressionAttributeValues": values,
    }
