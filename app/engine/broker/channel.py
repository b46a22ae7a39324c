"""The narrow override of kombu's SQS channel.

Seams, all named in tests/unit/engine/broker/test_seams.py so that an upgrade which moves one fails loudly: ``sqs``,
``asynsqs``, ``_size``, ``_loop1``, ``_on_messages_ready``, ``basic_consume``, ``basic_ack``, ``basic_reject``, ``close``.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from kombu.transport import SQS
from kombu.transport.SQS.exceptions import UndefinedQueueException

from app.engine.aws import clients
from app.engine.broker.batching import SendBatch
from app.engine.broker.leases import Leases
from app.engine.broker.polling import Poller, PollFailures
from app.engine.conf import engine_settings

logger = logging.getLogger(__name__)

#: What a blocking call of botocore may raise. Whoever catches it knows that SQS will deliver again.
_CALL_FAILURES = (ClientError, BotoCoreError, OSError)


class Channel(SQS.Channel):
    """kombu's channel with polls that survive, leases that last as long as the work, and batched sends."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._settings = engine_settings()
        self._poll_failures: dict[str, PollFailures] = {}
        self._pollers: dict[str, Poller] = {}
        self._leases: Leases | None = None
        self._batch: SendBatch | None = None
        super().__init__(*args, **kwargs)

    # -- clients --------------------------------------------------------------------------------------------------

    def sqs(self, queue: str | None = None) -> Any:
        """One client for all queues, whatever queue an envelope claims to come from; inside ``collect()`` the batch."""
        return self._batch if self._batch is not None else clients.sqs(self._settings)

    def asynsqs(self, queue: str | None = None) -> Poller:
        name = queue or ""
        if name not in self._pollers:
            failures = self._poll_failures.setdefault(name, PollFailures())
            self._pollers[name] = Poller(
                wait_time_seconds=self.wait_time_seconds,
                on_failure=lambda reason: self._poll_failed(name, failures, reason),
                on_success=lambda: self._poll_succeeded(name, failures),
                sqs_connection=clients.sqs(self._settings),
                region=self.region,
                message_system_attribute_names=self.get_message_attributes.get("MessageSystemAttributeNames"),
                message_attribute_names=self.get_message_attributes.get("MessageAttributeNames"),
            )
        return self._pollers[name]

    def _size(self, queue: str) -> int:
        # Declaring a queue asks for its size and throws the answer away: one call and one permission less for every producer.
        return 0

    # -- receiving ------------------------------------------------------------------------------------------------

    def _poll_failed(self, queue: str, failures: PollFailures, reason: str) -> None:
        if failures.failed():
            logger.warning("sqs poll failed", extra={"queue": queue, "reason": reason})

    def _poll_succeeded(self, queue: str, failures: PollFailures) -> None:
        if failures.succeeded():
            logger.info("sqs polls again", extra={"queue": queue})

    def _loop1(self, queue: str, messages_fetched: int | None = None) -> None:
        failures = self._poll_failures.get(self.canonical_queue_name(queue))
        if failures and (pause := failures.pause_seconds):
            self.hub.call_later(pause, self._schedule_queue, queue)
        else:
            super()._loop1(queue, messages_fetched)

    def _on_messages_ready(self, queue: str, qname: str, messages: dict[str, Any]) -> int:
        """Hand each message over on its own: one that cannot be read must not take its neighbours, or the worker, with it."""
        received = messages.get("Messages") or []
        if qname not in self.connection._callbacks:
            return int(super()._on_messages_ready(queue, qname, messages))
        for message in received:
            try:
                super()._on_messages_ready(queue, qname, {"Messages": [message]})
            except Exception:
                # Not deleted: the redrive policy takes it to the dead letters after max_receive_count deliveries.
                logger.exception("message not readable", extra={"queue": qname, "sqs_message_id": message.get("MessageId")})
                self.qos._delivered.pop(message.get("ReceiptHandle"), None)
        return len(received)

    def basic_consume(self, queue: str, *args: Any, **kwargs: Any) -> Any:
        if self._leases is None:
            self._leases = Leases(self._settings, held=self._held_messages)
            self._leases.start()
        return super().basic_consume(queue, *args, **kwargs)

    def _held_messages(self) -> list[tuple[str, str]]:
        """Queue address and receipt handle of everything received and not yet settled. Called from the lease thread."""
        while True:
            try:
                delivered = list(self.qos._delivered.items())
                break
            except RuntimeError:  # the event loop changed the dictionary meanwhile
                continue
        dirty = set(self.qos._dirty)
        # kombu takes the entry out when it gives a message back, on another thread.
        held = [
            (message.delivery_info.get("sqs_queue"), message.delivery_info.get("sqs_message"))
            for tag, message in delivered
            if tag not in dirty
        ]
        return [(queue, message["ReceiptHandle"]) for queue, message in held if queue and message]

    # -- settling -------------------------------------------------------------------------------------------------

    def basic_ack(self, delivery_tag: str, multiple: bool = False) -> None:
        """Delete the message of a finished job, now or as soon as SQS lets us. Nothing that SQS answers is raised."""
        delivered = self.qos._delivered.get(delivery_tag)
        if delivered is None or "sqs_message" not in delivered.delivery_info:
            super().basic_ack(delivery_tag, multiple)
            return
        queue, handle = delivered.delivery_info["sqs_queue"], delivered.delivery_info["sqs_message"]["ReceiptHandle"]
        if self._leases is not None and self._leases.is_waiting_to_delete(queue):
            # SQS did not let us delete a moment ago: asking once more for each job would hold up the polls and the pulse.
            self._leases.delete_later(queue, handle)
            self.qos.ack(delivery_tag)
            return
        # Not kombu's: it takes a throttled delete for done, so that the job would run again, and a denied one ends the worker.
        try:
            clients.sqs(self._settings).delete_message(QueueUrl=queue, ReceiptHandle=handle)
        except _CALL_FAILURES as error:
            logger.warning("sqs delete failed, trying again", extra={"reason": str(error)})
            if self._leases is not None:
                self._leases.delete_later(queue, handle)
        finally:
            self.qos.ack(delivery_tag)

    def basic_reject(self, delivery_tag: str, requeue: bool = False) -> None:
        try:
            super().basic_reject(delivery_tag, requeue)
        except (*_CALL_FAILURES, UndefinedQueueException) as error:
            # Nothing is lost: the message comes back when its visibility lapses. Its slot must be free again before that.
            logger.warning("sqs requeue failed", extra={"reason": str(error)})
            self.qos.ack(delivery_tag)

    def close(self) -> None:
        super().close()
        if self._leases is not None:
            self._leases.stop()
            self._leases = None

    # -- sending --------------------------------------------------------------------------------------------------

    @contextmanager
    def collect(self) -> Iterator[SendBatch]:
        """Within the block, messages published on this channel are collected; ``SendBatch.send()`` sends them in tens.

        A channel belongs to one thread at a time, and so does its batch.
        """
        if self._batch is not None:
            raise RuntimeError("collect() does not nest: send the outer batch first")
        self._batch = batch = SendBatch()
        try:
            yield batch
        finally:
            self._batch = None
        batch.send(clients.sqs(self._settings))
