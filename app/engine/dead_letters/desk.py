"""Carrying out an order: walk through the queues, and deal with each letter that is meant when it comes.

received ──take──▶ ours ──sent with its lineage──▶ noted ──▶ deleted
            │        └─ killed here: sent again by whoever repeats it, under the same count of redrives, and run once
            │                              └─ killed here: deleted by whoever sees it next
            └─ somebody else's ──▶ left alone
"""

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any
from uuid import uuid4

from app.engine.aws import clients
from app.engine.aws.queue_urls import dead_letter_queue_url, queue_url
from app.engine.broker.batching import SendBatch
from app.engine.broker.dead_letters import MOST_ATTRIBUTES, attribute_bytes
from app.engine.broker.lineage import NEVER, REDRIVE, Redrive
from app.engine.broker.options import LARGEST_MESSAGE_BYTES
from app.engine.broker.put_off import TIMES
from app.engine.broker.received import CAUSE, PARKED_SINCE, REASON
from app.engine.conf import EngineSettings
from app.engine.dead_letters.index import Index
from app.engine.dead_letters.letter import OPEN, DeadLetter, State, moment
from app.engine.dead_letters.order import Action, Order, Report
from app.engine.dead_letters.rounds import Rounds
from app.engine.dead_letters.selection import select
from app.engine.dead_letters.walk import ENTRIES_PER_BATCH, Walk, hold_for
from app.engine.ledger.sent_back import note_sent_back

logger = logging.getLogger(__name__)

#: How long letters are waited for that others hold: a clerk, or somebody who was killed.
PATIENCE_SECONDS = 30.0
_OF_THE_DEAD = frozenset({REASON, CAUSE, REDRIVE, PARKED_SINCE, TIMES})
WRITES_AT_ONCE = ENTRIES_PER_BATCH


class Desk:
    """Any number of them may work at once, also on the same letters. One object carries out one order.

    ``is_stopped`` is asked between batches. Raises :class:`~app.engine.aws.errors.AwsUnavailable` or ``AwsRefused``: what was done is
    done, and the same order again goes on from there.
    """

    def __init__(
        self,
        settings: EngineSettings,
        order: Order,
        *,
        is_stopped: Callable[[], bool] = lambda: False,
        on_progress: Callable[[Report], None] = lambda _: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._order = order
        self._is_stopped = is_stopped
        self._on_progress = on_progress
        self._clock = clock
        self._index = Index(settings)
        self._rounds = Rounds(settings, clock)
        self._holder = uuid4().hex
        self._next_at = 0.0
        self.report = Report()

    def carry_out(self) -> Report:
        """Do it, or as much of it as can be done before ``is_stopped``. Logs who did what."""
        wanted: dict[str, dict[str, DeadLetter]] = defaultdict(dict)
        queues = [queue.name for queue in self._settings.topology.queues]
        for letter in select(self._index, queues, self._order.selection.check(), now=self._clock()):
            wanted[letter.queue][letter.message_id] = letter
            self.report.selected += 1
        self._log("dead letter order begun")
        try:
            with ThreadPoolExecutor(WRITES_AT_ONCE, thread_name_prefix="dead-letters") as pool:
                for queue, letters in wanted.items():
                    self._work_off(queue, letters, pool)
        finally:
            self._log("dead letter order ended")
        return self.report

    def _log(self, what: str) -> None:
        """Who does what: the audit."""
        order, report = self._order, self.report
        said = {"action": str(order.action), "by": order.by, "selection": order.selection.in_words(), "selected": report.selected}
        logger.info(what, extra=said | {"done": report.done, "by_others": report.by_others, "refused": len(report.refused)})

    def _work_off(self, queue: str, wanted: dict[str, DeadLetter], pool: ThreadPoolExecutor) -> None:
        sqs = clients.sqs(self._settings)
        walk = Walk(sqs, dead_letter_queue_url(self._settings, queue), hold_seconds=hold_for(self._count_open(queue)))
        give_up_at = time.monotonic() + PATIENCE_SECONDS + walk.hold_seconds
        kept_off_until = 0.0
        try:
            while wanted:
                if self._is_stopped():
                    self.report.is_cut_off = True
                    return
                if time.monotonic() >= kept_off_until:
                    self._rounds.keep_off(queue, walk.hold_seconds)
                    kept_off_until = time.monotonic() + walk.hold_seconds / 2
                self._pace()
                messages = walk.receive(self._chunk)
                mine = [raw for raw in messages if raw["MessageId"] in wanted]
                if mine:
                    until = self._clock() + walk.hold_seconds
                    self._deal_with(queue, mine, wanted, walk, until, pool)
                    give_up_at = time.monotonic() + PATIENCE_SECONDS + walk.hold_seconds
                    self._on_progress(self.report)
                elif not messages:
                    self._forget_what_others_did(wanted)
                    if time.monotonic() > give_up_at:
                        self.report.not_found += [letter.id for letter in wanted.values()]
                        return
        finally:
            walk.let_go()
            self._rounds.keep_off(queue, 0)

    def _count_open(self, queue: str) -> int:
        return sum(1 for _ in self._index.letters(queue, is_open=True, now=self._clock()))

    def _forget_what_others_did(self, wanted: dict[str, DeadLetter]) -> None:
        now_there = self._index.get_many(letter.id for letter in wanted.values())
        for message_id, letter in list(wanted.items()):
            there = now_there.get(letter.id)
            if there is None or there.state not in OPEN:
                del wanted[message_id]
                self.report.by_others += 1

    # -- the pace -----------------------------------------------------------------------------------------------------------

    @property
    def _chunk(self) -> int:
        return max(1, min(ENTRIES_PER_BATCH, int(self._order.rate))) if self._order.rate else ENTRIES_PER_BATCH

    def _pace(self) -> None:
        """Wait until the next batch may be sent, and ask meanwhile whether it still shall."""
        while not self._is_stopped() and (left := self._next_at - time.monotonic()) > 0:
            time.sleep(min(left, 0.5))

    def _note_sent(self, count: int) -> None:
        if self._order.rate:
            self._next_at = max(self._next_at, time.monotonic()) + count / self._order.rate

    # -- one batch ----------------------------------------------------------------------------------------------------------

    def _deal_with(
        self,
        queue: str,
        messages: Sequence[Mapping[str, Any]],
        wanted: dict[str, DeadLetter],
        walk: Walk,
        until: float,
        pool: ThreadPoolExecutor,
    ) -> None:
        letters = [wanted[raw["MessageId"]] for raw in messages]
        if self._order.action is Action.DISCARD:
            ours = list(pool.map(self._discard, letters))
        else:
            ours = list(pool.map(partial(self._take, until), letters))
        mine = [raw for raw, is_ours in zip(messages, ours, strict=True) if is_ours]
        others = [letter for letter, is_ours in zip(letters, ours, strict=True) if not is_ours]
        if mine and self._order.action is Action.REDRIVE:
            mine = self._send_back(queue, mine, wanted, pool)
        finished = [raw["MessageId"] for raw in mine]
        cut_off = self._left_by_others(others, wanted)
        walk.delete([*finished, *cut_off])
        for message_id in finished:
            letter = wanted.pop(message_id)
            self.report.done += 1
            logger.info(
                "dead letter sent back" if self._order.action is Action.REDRIVE else "dead letter discarded",
                extra={"letter": letter.id, "queue": queue, "task": letter.task, "task_id": letter.task_id, "by": self._order.by},
            )
        self._note_sent(len(finished))

    def _left_by_others(self, others: Sequence[DeadLetter], wanted: dict[str, DeadLetter]) -> list[str]:
        """The messages of those that somebody else has sent back or discarded, and did not live to delete."""
        over = []
        there = self._index.get_many(letter.id for letter in others)
        for letter in others:
            found = there.get(letter.id)
            if found is not None and found.state in (State.REDRIVEN, State.DISCARDED):
                over.append(letter.message_id)
                del wanted[letter.message_id]
                self.report.by_others += 1
        return over

    def _take(self, until: float, letter: DeadLetter) -> bool:
        return self._index.take(letter, by=self._order.by, holder=self._holder, now=self._clock(), until=until)

    def _discard(self, letter: DeadLetter) -> bool:
        return self._index.discard(letter, by=self._order.by, now=self._clock(), expires_at=self._kept_until(letter))

    def _send_back(
        self, queue: str, messages: list[Mapping[str, Any]], wanted: dict[str, DeadLetter], pool: ThreadPoolExecutor
    ) -> list[Mapping[str, Any]]:
        """Returns those that SQS has taken, and that are noted as sent back."""
        letters = self._index.get_many(wanted[raw["MessageId"]].id for raw in messages)
        batch = SendBatch()
        fitting = []
        for raw in messages:
            letter = letters.get(wanted[raw["MessageId"]].id, wanted[raw["MessageId"]])
            entry = sent_back(raw, Redrive(by=self._order.by, at=moment(self._clock()), letter=letter.id), letter)
            if (size := _bytes(entry)) <= LARGEST_MESSAGE_BYTES:
                batch.send_message(QueueUrl=queue_url(self._settings, queue), **entry)
                fitting.append(raw)
            else:
                self._refuse(wanted.pop(letter.message_id), f"With where it comes from it has {size} bytes; {LARGEST_MESSAGE_BYTES} fit.")
        messages = fitting
        batch.send(clients.sqs(self._settings))
        for position, reason in batch.failures.items():
            self._refuse(wanted.pop(messages[position]["MessageId"]), reason)
        # What SQS did not answer for stays ours until its time is over, and then comes again.
        unsent = batch.failures.keys() | batch.unanswered.keys()
        sent = [raw for position, raw in enumerate(messages) if position not in unsent]
        noted = pool.map(self._note_redriven, [wanted[raw["MessageId"]] for raw in sent])
        return [raw for raw, is_noted in zip(sent, list(noted), strict=True) if is_noted]

    def _refuse(self, letter: DeadLetter, reason: str) -> None:
        self._index.refused(letter, holder=self._holder, problem=reason)
        self.report.refused[letter.id] = reason

    def _note_redriven(self, letter: DeadLetter) -> bool:
        is_noted = self._index.sent(letter, holder=self._holder, now=self._clock(), expires_at=self._kept_until(letter))
        if is_noted and letter.task_id:
            note_sent_back(self._settings, letter.task_id, redrives=letter.redrives + 1, by=self._order.by)
        return is_noted

    def _kept_until(self, letter: DeadLetter) -> int:
        """What became of a letter is told for as long as letters of its queue are."""
        retention = self._settings.topology.queue(letter.queue).dead_letter_retention
        return int(self._clock() + retention.total_seconds())


def sent_back(raw: Mapping[str, Any], redrive: Redrive, letter: DeadLetter) -> dict[str, Any]:
    """The parameters of ``SendMessage``: the body as it is, the attributes of its first life, its group, and where it comes from."""
    lineage = (letter.lineage or NEVER).and_then(redrive)
    own = [(name, value) for name, value in (raw.get("MessageAttributes") or {}).items() if name not in _OF_THE_DEAD]
    entry: dict[str, Any] = {
        "MessageBody": raw["Body"],
        "MessageAttributes": {REDRIVE: lineage.as_attribute(), **dict(own[: MOST_ATTRIBUTES - 1])},
    }
    if group := (raw.get("Attributes") or {}).get("MessageGroupId"):
        entry["MessageGroupId"] = group
    return entry


def _bytes(entry: Mapping[str, Any]) -> int:
    attributes = sum(attribute_bytes(name, value) for name, value in entry["MessageAttributes"].items())
    return len(entry["MessageBody"].encode("utf-8", "surrogatepass")) + attributes
