"""The clerk looks into every dead-letter queue and keeps the index true, without taking anything away.

count ──0, and nothing in the index──▶ nothing to do
  └──as at the last look, less than ten minutes ago──▶ nothing to do
  └──else──▶ walk ──▶ new: entered · known: left alone · redriven or discarded: deleted · in the index and not seen: missed
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any

from celery import current_app

from app.engine.aws import clients
from app.engine.aws.errors import translated
from app.engine.aws.queue_urls import dead_letter_queue_url
from app.engine.conf import EngineSettings
from app.engine.dead_letters.index import Index
from app.engine.dead_letters.letter import DeadLetter, State
from app.engine.dead_letters.reading import CRASH_LOOP, read_message
from app.engine.dead_letters.rounds import AT_LEAST_EVERY, Rounds
from app.engine.dead_letters.walk import Walk, hold_for
from app.engine.errors import EngineError
from app.engine.ledger.deaths import Deaths, Recorded
from app.topology import QueuePolicy
from app.topology.naming import table_name
from app.topology.tables import LEDGER

logger = logging.getLogger(__name__)

LOOKS_EVERY = timedelta(seconds=15)
#: Of the time for which a walk holds what it has received, this is kept for letting it go.
LETTING_GO_SECONDS = 5
WRITES_AT_ONCE = 10
_COUNTS: Any = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible", "ApproximateNumberOfMessagesDelayed")


@dataclass(slots=True)
class _Seen:
    """What one walk has seen."""

    messages: set[str] = field(default_factory=set)
    to_delete: list[str] = field(default_factory=list)
    undecided: set[str] = field(default_factory=set)
    """Crash loops whose job is still claimed by somebody."""
    is_complete: bool = False


class Clerk:
    """Any number of clerks may work: each round of a queue belongs to one of them, and each entry is made once.

    Costs one GetQueueAttributes a queue and look, and nothing else as long as nobody is dead; with five queues some $0.35 a month and
    clerk. A walk past n letters is n/5 requests, at the most each time that their count changes, at the least every ten minutes.
    """

    def __init__(self, settings: EngineSettings, *, clock: Callable[[], float] = time.time) -> None:
        self._settings = settings
        self._clock = clock
        self._index = Index(settings)
        self._rounds = Rounds(settings, clock)
        self._deaths = Deaths(
            self._dynamodb,
            table_name(settings.name_prefix, LEDGER.name),
            key_of=lambda task_id: str(current_app.backend.get_key_for_task(task_id)),
            ttl=settings.result_ttl,
            clock=clock,
        )
        self._quiet_until: dict[str, float] = {}
        self._is_failing = False
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="dead-letter-clerk", daemon=True)

    def _dynamodb(self) -> Any:
        return clients.dynamodb(self._settings)

    def start(self) -> None:
        self._thread.start()

    def stop(self, within: float = 5.0) -> None:
        """End after the receive that is under way, and let go of what is in hand."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(within)

    def _run(self) -> None:
        while not self._stopped.is_set():
            self.look()
            self._stopped.wait(LOOKS_EVERY.total_seconds())

    def look(self) -> None:
        """One look into every queue. What goes wrong with one does not keep it from the others."""
        problem = ""
        for queue in self._settings.topology.queues:
            if self._stopped.is_set():
                return
            try:
                self._look_into(queue)
            except EngineError as error:
                problem = str(error)
            except Exception as error:
                logger.exception("dead letters: unexpected error, going on", extra={"queue": queue.name})
                problem = f"{type(error).__name__}: {error}"
        if problem and not self._is_failing:
            logger.warning("dead letters not looked at", extra={"reason": problem[:500]})
        self._is_failing = bool(problem)

    def _look_into(self, queue: QueuePolicy) -> None:
        count, in_flight = self._count(queue.name)
        if not count and self._clock() < self._quiet_until.get(queue.name, 0):
            return
        if not self._rounds.last(queue.name).is_due(count, self._clock()):
            return
        hold = hold_for(count)
        # A clerk that dies is followed by another when what it held is visible again.
        if not self._rounds.begin(queue.name, hold + LETTING_GO_SECONDS):
            return
        known = {letter.message_id: letter for letter in self._index.letters(queue.name, is_open=True, now=self._clock())}
        seen = self._walk(queue, known, hold) if count or known else _Seen(is_complete=True)
        missing = self._compare(known, seen, is_anybody_else_there=in_flight > 0) if seen.is_complete else 0
        # An answer got lost on its way, or somebody holds some.
        missing = max(missing, count - len(seen.messages), len(seen.undecided))
        self._rounds.end(queue.name, left=count - len(seen.to_delete), missing=missing)
        if not count and not known:
            self._quiet_until[queue.name] = self._clock() + AT_LEAST_EVERY.total_seconds()

    def _count(self, queue: str) -> tuple[int, int]:
        """All messages, and those that somebody holds."""
        with translated("count the dead letters"):
            answer = clients.sqs(self._settings).get_queue_attributes(
                QueueUrl=dead_letter_queue_url(self._settings, queue), AttributeNames=list(_COUNTS)
            )
        counts = [int(answer["Attributes"].get(name, 0)) for name in _COUNTS]
        return sum(counts), counts[1]

    # -- a walk -------------------------------------------------------------------------------------------------------------

    def _walk(self, queue: QueuePolicy, known: Mapping[str, DeadLetter], hold: int) -> _Seen:
        seen = _Seen()
        walk = Walk(clients.sqs(self._settings), dead_letter_queue_url(self._settings, queue.name), hold_seconds=hold)
        end = time.monotonic() + hold - LETTING_GO_SECONDS
        with ThreadPoolExecutor(WRITES_AT_ONCE, thread_name_prefix="dead-letter-index") as pool:
            try:
                while time.monotonic() < end and not self._stopped.is_set():
                    messages = walk.receive()
                    if not messages:
                        seen.is_complete = True
                        break
                    fresh = [raw for raw in messages if raw["MessageId"] not in known and raw["MessageId"] not in seen.messages]
                    crash_loops = [raw for raw in messages if _is_crash_loop(known.get(raw["MessageId"]))]
                    for letter in pool.map(partial(self._enter, queue, seen), [*fresh, *crash_loops]):
                        if letter is not None and letter.state in (State.REDRIVEN, State.DISCARDED):
                            seen.to_delete.append(letter.message_id)
                    seen.messages.update(raw["MessageId"] for raw in messages)
                self._delete(walk, queue.name, seen.to_delete)
            finally:
                walk.let_go()
        return seen

    def _enter(self, queue: QueuePolicy, seen: _Seen, raw: Mapping[str, Any]) -> DeadLetter | None:
        """The letter as it was known before; ``None`` for a new one."""
        read = read_message(raw, queue=queue.name, retention=queue.dead_letter_retention, now=self._clock())
        if read.death is not None:
            with translated("record a dead job"):
                if self._deaths.record(read.death) is Recorded.NOT_YET:
                    seen.undecided.add(read.letter.id)
        known = self._index.enter(read.letter)
        if known is None:
            letter = read.letter
            extra = {"letter": letter.id, "queue": queue.name, "task": letter.task, "task_id": letter.task_id, "cause": letter.reason}
            logger.info("dead letter indexed", extra=extra)
        return known

    @staticmethod
    def _delete(walk: Walk, queue: str, message_ids: list[str]) -> None:
        """Those that were sent back or discarded by somebody who was cut off before the deletion."""
        if message_ids:
            deleted = walk.delete(message_ids)
            logger.info("dead letter deleted late", extra={"queue": queue, "letters": deleted})

    def _compare(self, known: Mapping[str, DeadLetter], seen: _Seen, *, is_anybody_else_there: bool) -> int:
        """Count the misses of letters that are in the index and were not seen; return how many are still to be looked for.

        What somebody else has in hand cannot be seen and is not missed.
        """
        missing = 0
        for message_id, letter in known.items():
            if letter.state is not State.DEAD:
                continue
            if message_id in seen.messages:
                if letter.missed:
                    self._index.seen(letter)
            elif is_anybody_else_there:
                missing += 1
            elif self._index.missed(letter, self._clock()):
                logger.warning("dead letter gone", extra={"letter": letter.id, "queue": letter.queue, "task_id": letter.task_id})
            else:
                missing += 1
        return missing


def _is_crash_loop(known: DeadLetter | None) -> bool:
    return known is not None and known.reason == CRASH_LOOP and known.state is State.DEAD
