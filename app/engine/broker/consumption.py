"""A consuming channel's working parts, put together: intake, inspection, settlement, leases, housekeeping."""

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from botocore.exceptions import ClientError
from celery.exceptions import NotRegistered

from app.engine.broker import claim_check, envelope
from app.engine.broker.bookkeeping import Bookkeeping
from app.engine.broker.dead_letters import Cause, Reason, dead_letter, recorded
from app.engine.broker.delays import EARLY_SECONDS, delay_seconds
from app.engine.broker.housekeeping import Housekeeping
from app.engine.broker.inspection import inspect_arguments, inspect_envelope
from app.engine.broker.intake import Intake
from app.engine.broker.leases import Leases
from app.engine.broker.lineage import NEVER, REDRIVE, lineage_of, sent_back_elsewhere
from app.engine.broker.lost_leases import lost_leases
from app.engine.broker.options import BrokerOptions
from app.engine.broker.put_off import TIMES, PutOff, counted, pause_seconds
from app.engine.broker.queue_facts import QueueBook, QueueFacts
from app.engine.broker.received import CAUSE, DECODED, PARKED_SINCE, REASON, Received
from app.engine.broker.refusals import Refused, UnknownTask
from app.engine.broker.settlement import Settlement
from app.engine.broker.worker_link import WorkerLink
from app.engine.job_ledger import FENCE, RecordedFailure

logger = logging.getLogger(__name__)

#: What SQS is still to be told when a worker ends.
FLUSH_SECONDS = 10.0
#: A poll under way is waited for: what it brings would otherwise be hidden from everybody for a whole visibility timeout.
POLL_MARGIN_SECONDS = 2.0
#: Celery's own answer to these is a TypeError.
BAD_ARGUMENTS = "bad-arguments"
CLAIM_RETRY_SECONDS = 30
FIRST_PARK_SECONDS = 15
#: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-message-metadata.html
MOST_ATTRIBUTES = 10
#: What a child needs of the raw message; the body would travel to it twice.
_TOLD_TO_CHILD = ("MessageId", "ReceiptHandle", "Attributes", "MessageAttributes")


class Consumption:
    """Promise: nothing that SQS, the network or a message does is raised into the event loop."""

    def __init__(
        self,
        options: BrokerOptions,
        client: Callable[[], Any],
        *,
        claims: claim_check.ClaimChecks | None,
        wake: Callable[[], None],
    ) -> None:
        self._options = options
        self._claims = claims
        self._causes: dict[str, Cause] = {}
        self._put_offs: dict[str, PutOff] = {}
        self._unburied: dict[tuple[str, str], Received] = {}
        self._link = WorkerLink(on_stop=lambda: self._housekeeping.soon(self.stop), on_ready=wake)
        self._book = QueueBook(client)
        self._settlement = Settlement(client, linger_seconds=options.delete_linger_seconds, on_deleted=self._deleted)
        self._bookkeeping = Bookkeeping(
            self._link.job_ledger,
            timeout_of=self._book.visibility_timeout,
            show=self._settlement.give_back,
            reopen=self._reopen,
            discard=self._settlement.delete,
            bury=self._bury_again,
            put_off=self._put_off,
            held=self._held,
            on_lost=self._lose,
        )
        self.intake = Intake(
            options,
            client,
            read=self._read,
            admit=self._admit,
            wake=wake,
            give_back=self._bookkeeping.give_back,
            put_off=self._put_off_unrun,
            again=self._again,
        )
        self._leases = Leases(
            client,
            held=self._held,
            timeout_of=self._book.visibility_timeout,
            is_overdue=self._link.is_overdue,
            on_lost=self.intake.drop,
            lost=lost_leases(),
        )
        self._housekeeping = Housekeeping(
            (self._leases.renew_due, self.intake.give_back_stale, self._watch, self._link.end_pool),
            pause_seconds=lambda: self._leases.pause_seconds,
        )
        self._link.connect()
        self._housekeeping.start()

    def consume(self, queue: str) -> None:
        self.intake.consume(queue)

    def slots(self) -> int | None:
        """How many jobs the worker runs at once; ``None`` while nobody has said."""
        return self._link.slots()

    def stop(self) -> None:
        """Receive no more, and let others have at once what has not been started."""
        self.intake.stop()

    def close(self) -> None:
        """:meth:`stop`, give back what still runs, and wait until SQS has been told, or 10 seconds.

        A poll under way is waited for, unless the worker is told to end soon.
        """
        self.stop()
        if not self._link.is_urgent:
            self.intake.join(self._options.wait_time_seconds + POLL_MARGIN_SECONDS)
        for received in self.intake.in_hand():
            self.give_back(received.tag)
        if not self._bookkeeping.flush(FLUSH_SECONDS):
            logger.warning("results not stored in time: their jobs come again when their visibility lapses")
        if not self._settlement.close(FLUSH_SECONDS):
            logger.warning("sqs was not told everything: what is left comes again when its visibility lapses")
        self._housekeeping.end()
        self._link.disconnect()

    # -- what became of a delivery ------------------------------------------------------------------------------------------

    def finish(self, tag: str) -> None:
        """Never to be run again."""
        self._causes.pop(tag, None)
        if (received := self.intake.settled(tag, for_good=True)) is not None:
            self._bookkeeping.after_result(received, lambda: self._settlement.delete(received))

    def give_back(self, tag: str) -> None:
        """Others may have it at once; or, if it was put off, in a while."""
        self._causes.pop(tag, None)
        put_off = self._put_offs.pop(tag, None)
        # A message that is sent again is never to be run itself.
        if (received := self.intake.settled(tag, for_good=put_off is not None)) is None:
            return
        if put_off is None:
            self._bookkeeping.give_back([received])
            return
        extra = {"queue": received.queue, "task": received.task, "task_id": received.task_id, "reason": str(put_off.reason)[:300]}
        logger.info("job put off", extra=extra)
        if put_off.seconds is None:
            self._bookkeeping.put_off([received], self._put_off_once_more)
            return
        seconds = min(max(put_off.seconds, 1), self._options.longest_delay_seconds)
        self._bookkeeping.put_off([received], lambda message: self._put_off(message, seconds))

    def _reopen(self, received: Received) -> None:
        """Settled, and yet to be run again: its result could not be stored."""
        self.intake.reopen(received)
        self._settlement.give_back([received])

    def refuse(self, tag: str, cause: Cause | None = None) -> None:
        """Never to be run again, and to be looked at by a person."""
        noted = self._causes.pop(tag, None)
        if (received := self.intake.settled(tag, for_good=True)) is not None:
            why = noted or cause or Cause(reason=Reason.REJECTED, message="The worker would not run the message.")
            self._bookkeeping.after_result(received, lambda: self._bury(received, why), why.error)

    def note_cause(self, tag: str, cause: Cause) -> None:
        # A task that acknowledges early is told to have failed when nobody will settle it any more.
        if self.intake.outstanding(tag) is not None:
            self._causes[tag] = cause

    def note_put_off(self, tag: str, put_off: PutOff) -> None:
        if self.intake.outstanding(tag) is not None:
            self._put_offs[tag] = put_off

    def _bury(self, received: Received, cause: Cause) -> None:
        cause = replace(
            cause,
            queue=received.queue,
            task=cause.task or received.task,
            task_id=cause.task_id or received.task_id,
            release=cause.release or self._options.release,
        )
        extra = {
            "queue": received.queue,
            "task": cause.task,
            "task_id": cause.task_id,
            "cause": cause.reason,
            "reason": cause.message[:300],
        }
        logger.warning("dead letter", extra=extra)
        destination = self._options.queues[received.queue].dead_letter_url
        if destination is not None:
            self._settlement.move(received, destination, dead_letter(received, cause))
        else:
            # Only the queue can say, and asking it takes time, which the event loop does not have.
            self._unburied[received.identity] = received
            self._housekeeping.soon(lambda: self._bury_where_the_queue_says(received, cause))

    def _bury_where_the_queue_says(self, received: Received, cause: Cause) -> None:
        facts = self._book.facts(received.url)
        self._bury_by(facts, received, cause)
        self._unburied.pop(received.identity, None)

    def _bury_by(self, facts: QueueFacts | None, received: Received, cause: Cause) -> None:
        if facts is None:
            self._settlement.leave(received, "its queue does not say where its dead letters go: sqs:GetQueueAttributes failed")
        elif facts.dead_letter_url is None:
            logger.error(
                "dead letter dropped: its queue has no dead-letter queue",
                extra={"queue": received.queue, "task": cause.task, "task_id": cause.task_id},
            )
            self._settlement.delete(received)
        else:
            self._settlement.move(received, facts.dead_letter_url, dead_letter(received, cause))

    def _bury_again(self, received: Received, failure: RecordedFailure) -> None:
        """Its run failed for good, and its worker died before the message was moved, or before the moved one was deleted."""
        self._bury(received, recorded(failure, task=received.task))

    def _again(self, received: Received) -> None:
        """A message came that this worker has settled."""
        if (unburied := self._unburied.get(received.identity)) is not None:
            unburied.handle = received.handle
        else:
            self._settlement.delete_again(received)

    def _deleted(self, received: Received) -> None:
        if received.claim is not None and self._claims is not None:
            self._claims.delete(received.claim)

    # -- what a delivery is -------------------------------------------------------------------------------------------------

    def _read(self, received: Received) -> Received | None:
        """In a receiver's thread: check the message before anything trusts it."""
        now = time.time()
        try:
            inspected = inspect_envelope(
                received.raw["Body"], queue=received.queue, now=now, latest_eta_seconds=self._options.latest_eta_seconds
            )
            received.task, received.task_id = inspected.task, inspected.id
            _trace_back(received, inspected.payload["headers"])
            if inspected.eta is not None and inspected.eta - now > EARLY_SECONDS:
                self._put_off(received, delay_seconds(inspected.eta, now, self._options.longest_delay_seconds))
                return None
            self._claim(received, inspected.payload)
            tasks = self._link.tasks()
            if tasks is not None:
                decoded = inspect_arguments(inspected, tasks)
                if received.claim is None:
                    # What came from S3 is large, and many may wait for a slot.
                    inspected.payload[DECODED] = decoded
        except UnknownTask as error:
            self._park(received, error, now)
            return None
        except (Refused, claim_check.ClaimRefused) as error:
            reason, detail = getattr(error, "reason", "claim-check"), str(getattr(error, "detail", error))
            self._bury(received, Cause(reason=reason, message=detail))
            self._link.record_failure(received, TypeError(detail) if reason == BAD_ARGUMENTS else error)
            return None
        except (claim_check.BodyOutOfReach, ClientError) as error:
            logger.warning("claim check not read", extra={"queue": received.queue, "task_id": received.task_id, "reason": str(error)[:300]})
            if isinstance(error, ClientError):
                # S3 has no such object, or denies it: others may try soon, and the redrive policy counts.
                self._settlement.give_back([received], CLAIM_RETRY_SECONDS)
            else:
                # An outage makes no dead letters: nothing counts while it lasts.
                self._put_off(received, CLAIM_RETRY_SECONDS)
            return None
        received.payload = inspected.payload
        envelope.complete(received.payload)
        properties = received.payload["properties"]
        properties["delivery_tag"] = received.tag
        properties["delivery_info"] |= {
            "sqs_message": {name: received.raw[name] for name in _TOLD_TO_CHILD if name in received.raw},
            "sqs_queue": received.url,
            "redelivered": received.receive_count > 1,
        }
        return received

    def _admit(self, deliveries: list[Received]) -> list[Received]:
        """In a receiver's thread: claim the jobs that are to be run, and tell the runs."""
        admitted = self._bookkeeping.admitted(deliveries)
        for received in admitted:
            if received.fence is not None:
                received.payload["properties"]["delivery_info"][FENCE] = received.fence
        return admitted

    def _claim(self, received: Received, payload: dict[str, Any]) -> None:
        claim = payload["headers"].pop(claim_check.HEADER, None)
        if claim is None:
            return
        if self._claims is None:
            raise Refused("claim-check", "The body is in S3, and this worker has no claim_check in its broker_transport_options.")
        received.claim = self._claims.key_of(claim)
        payload["body"] = self._claims.get(claim)
        payload["properties"]["body_encoding"] = "utf-8"

    def _put_off(self, received: Received, seconds: int, **noted: int) -> None:
        """Not to be run yet: it waits in SQS. ``noted`` travels with it, as attributes of the message."""
        if received.url.endswith(".fifo"):
            self.intake.reopen(received)
            self._settlement.give_back([received], seconds)
        else:
            self._settlement.move(received, received.url, _same_again(received, noted) | {"DelaySeconds": seconds})

    def _put_off_once_more(self, received: Received) -> None:
        times = counted(received.message_attributes) + 1
        self._put_off(received, pause_seconds(times), **{TIMES: times})

    def _put_off_unrun(self, messages: Iterable[Received]) -> None:
        self._bookkeeping.put_off(messages, lambda received: self._put_off(received, pause_seconds(1)))

    def _park(self, received: Received, error: UnknownTask, now: float) -> None:
        """An older worker, a newer message: wait for a worker that knows the task, for as long as configured."""
        attribute = received.message_attributes.get(PARKED_SINCE) or {}
        try:
            # Not later than now, whoever wrote it: otherwise it would be parked for ever.
            since = min(int(attribute["StringValue"]), int(now))
        except (KeyError, TypeError, ValueError):
            since = int(now)
        parked = now - since
        if parked >= self._options.unknown_task_seconds:
            self._bury(
                received,
                Cause(reason=Reason.UNKNOWN_TASK, message=f"No worker of this queue knows the task {error.task!r}.", task=error.task),
            )
            self._link.record_failure(received, NotRegistered(error.task))
            return
        logger.warning("unknown task parked", extra={"queue": received.queue, "task": error.task, "task_id": received.task_id})
        left = self._options.unknown_task_seconds - parked
        seconds = int(min(max(parked, FIRST_PARK_SECONDS), left + 1, self._options.longest_delay_seconds))
        self._put_off(received, max(seconds, 1), **{PARKED_SINCE: since})

    # -- housekeeping -------------------------------------------------------------------------------------------------------

    def _held(self) -> Iterable[Received]:
        return [
            *self.intake.in_hand(),
            *self._bookkeeping.unkept(),
            *self._settlement.unconfirmed(),
            *list(self._unburied.values()),
        ]

    def _lose(self, received: Received, reason: str) -> None:
        self._leases.lose(received, reason)

    def _watch(self) -> None:
        for queue in self.intake.restart_silent():
            logger.error("queue was not polled although there was room: a new receiver takes over", extra={"queue": queue})


def _trace_back(received: Received, headers: dict[str, Any]) -> None:
    """Of a job that was sent back: its attempts begin anew, and its retries are told where it comes from."""
    lineage = lineage_of(received.message_attributes, headers)
    if received.is_redriven:
        if CAUSE in received.message_attributes or lineage is None:
            lineage = sent_back_elsewhere(lineage or NEVER)
        headers["retries"] = 0
        headers[REDRIVE] = lineage.as_header()
    received.lineage = lineage


def _same_again(received: Received, noted: Mapping[str, int]) -> dict[str, Any]:
    entry: dict[str, Any] = {"MessageBody": received.raw["Body"]}
    kept = {name: value for name, value in received.message_attributes.items() if name not in (REASON, CAUSE, REDRIVE, *noted)}
    attributes = {name: {"DataType": "Number", "StringValue": str(value)} for name, value in noted.items()}
    if received.is_redriven and received.lineage is not None:
        attributes[REDRIVE] = received.lineage.as_attribute()
    attributes |= dict(list(kept.items())[: MOST_ATTRIBUTES - len(attributes)])
    if attributes:
        entry["MessageAttributes"] = attributes
    if group := received.system_attributes.get("MessageGroupId"):
        entry["MessageGroupId"] = group
    return entry
