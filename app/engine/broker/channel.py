"""The override of kombu's SQS channel: what kombu asks of a channel, answered by the concepts of this package.

Seams, all named in tests/unit/engine/broker/test_seams.py so that an upgrade which moves one fails loudly.
"""

import contextlib
import logging
import math
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from queue import Empty
from typing import Any

from kombu.transport import SQS, virtual

from app.engine.broker import claim_check
from app.engine.broker.batching import SendBatch
from app.engine.broker.connections import s3_client, sqs_client
from app.engine.broker.consumption import Consumption
from app.engine.broker.dead_letters import Cause
from app.engine.broker.options import BrokerOptions
from app.engine.broker.put_off import PutOff
from app.engine.broker.received import DECODED
from app.engine.broker.sending import Sender
from app.engine.broker.wakeup import Wakeup

logger = logging.getLogger(__name__)


class QoS(SQS.QoS):
    """kombu's account of deliveries. What Celery has not settled is given back by the channel, in batches."""

    def restore_unacked_once(self, stderr: Any = None) -> None:
        self._on_collect.cancel()
        self._flush()
        self._delivered.clear()
        self._delivered.restored = True


class Message(virtual.Message):
    """kombu's, which need not decode once more what was decoded to be inspected."""

    def __init__(self, payload: dict[str, Any], channel: Any = None, **kwargs: Any) -> None:
        super().__init__(payload, channel=channel, **kwargs)
        self._decoded_cache = payload.pop(DECODED, None)


class Channel(SQS.Channel):
    """Use: ``broker_transport = "app.engine.broker.transport:Transport"``; see ``options.py`` for what it is told."""

    QoS = QoS
    Message = Message
    body_encoding = "utf-8"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._batch: SendBatch | None = None
        self._consumption: Consumption | None = None
        self._wakeup: Wakeup | None = None
        self._told_to_close = False
        super().__init__(*args, **kwargs)

    # -- clients ------------------------------------------------------------------------------------------------------------

    @property
    def options(self) -> BrokerOptions:
        options: BrokerOptions = self.connection.options
        return options

    def sqs(self, queue: str | None = None) -> Any:
        """Inside ``collect()`` the batch; otherwise SQS."""
        return self._batch if self._batch is not None else self._client()

    def _client(self) -> Any:
        return sqs_client(*self._aws())

    def _aws(self) -> tuple[str, str | None, str | None, str | None]:
        return self.region, self.options.endpoint_url or self.endpoint_url, self.conninfo.userid, self.conninfo.password

    def _claim_checks(self) -> claim_check.ClaimChecks | None:
        options = self.options.claim_check
        if options is None:
            return None
        region, _, access_key, secret_key = self._aws()
        return claim_check.ClaimChecks(options, lambda: s3_client(region, self.options.endpoint_url, access_key, secret_key))

    def _size(self, queue: str) -> int:
        # Declaring a queue asks for its size and throws the answer away: one call and one permission less for every producer.
        return 0

    # -- sending ------------------------------------------------------------------------------------------------------------

    def _put(self, queue: str, message: dict[str, Any], **_: Any) -> None:
        self.sqs(queue).send_message(**self.entry(queue, message))

    def entry(self, queue: str, message: dict[str, Any]) -> dict[str, Any]:
        """The parameters of ``SendMessage``. Raises what :meth:`~app.engine.broker.sending.Sender.entry` raises."""
        return self.sender.entry(queue, message)

    @cached_property
    def sender(self) -> Sender:
        return Sender(self.options, self._client, self._claim_checks())

    @contextmanager
    def collect(self) -> Iterator[SendBatch]:
        """Within the block, messages published on this channel are collected; at its end they are sent, ten a request.

        A channel belongs to one thread at a time, and so does its batch.
        """
        if self._batch is not None:
            raise RuntimeError("collect() does not nest: send the outer batch first")
        self._batch = batch = SendBatch()
        try:
            yield batch
        finally:
            self._batch = None
        batch.send(self._client())

    # -- receiving ----------------------------------------------------------------------------------------------------------

    @property
    def consumption(self) -> Consumption:
        """Everything a consuming channel has: receivers, buffer, leases, settlement. Made by the first consumer."""
        if self._consumption is None:
            self._consumption = Consumption(self.options, self._client, claims=self._claim_checks(), wake=self._wake)
        return self._consumption

    def basic_consume(self, queue: str, no_ack: bool, callback: Any, consumer_tag: str, *args: Any, **kwargs: Any) -> Any:
        if no_ack:
            self._noack_queues.add(queue)
        if self.hub is not None and self._wakeup is None:
            self._wakeup = Wakeup(self.hub, self._deliver_ready)
        # Not kombu's SQS channel, whose first act is to schedule a poll in the event loop.
        tag = virtual.Channel.basic_consume(self, queue, no_ack, callback, consumer_tag, *args, **kwargs)
        self.consumption.intake.resize(self._window())
        self.consumption.consume(queue)
        return tag

    def basic_cancel(self, consumer_tag: str) -> Any:
        queue = self._tag_to_queue.get(consumer_tag)
        cancelled = super().basic_cancel(consumer_tag)
        if queue is not None and self._consumption is not None:
            self._consumption.intake.cancel(queue)
        return cancelled

    def basic_qos(self, *args: Any, **kwargs: Any) -> None:
        super().basic_qos(*args, **kwargs)
        if self._consumption is not None:
            self._consumption.intake.resize(self._window())

    def _window(self) -> int:
        """How many messages Celery may have at once: its prefetch count, but no more than it can run. 0 is no limit."""
        prefetch = self.qos.prefetch_count or 0
        slots = self._consumption.slots() if self._consumption is not None else None
        return min(prefetch, slots) if prefetch and slots else prefetch

    def _wake(self) -> None:
        """From any thread: there may be something to deliver."""
        if (wakeup := self._wakeup) is not None:
            wakeup.set()

    def _deliver_ready(self) -> int:
        """Hand over what is buffered to as many slots as are free. Only in the thread that consumes."""
        delivered = 0
        consumption = self._consumption
        if consumption is None or self.closed:
            return 0
        window = self._window() or math.inf
        consumption.intake.resize(0 if window == math.inf else int(window))
        while consumption.intake.outstanding_count < window and (received := consumption.intake.take()) is not None:
            callback = self.connection._callbacks.get(received.queue)
            if callback is None:
                consumption.give_back(received.tag)
                continue
            delivered += 1
            if received.queue in self._noack_queues:
                consumption.finish(received.tag)
            try:
                callback(received.payload)
            except Exception as error:
                # What Celery raises here would end the worker, and the next one that gets the message.
                logger.exception("message not taken", extra={"queue": received.queue, "task": received.task, "task_id": received.task_id})
                self.qos.ack(received.tag)
                consumption.refuse(received.tag, Cause(reason="not-taken", message=f"{type(error).__name__}: {error}"[:1000]))
        return delivered

    def drain_events(self, timeout: float | None = None, callback: Any = None, **_: Any) -> None:
        """For programs without kombu's event loop (gevent, plain kombu consumers): wait for a message and hand it over."""
        if not self._consumers or self._consumption is None:
            raise Empty
        end = time.monotonic() + (timeout if timeout is not None else self.options.wait_time_seconds)
        while not self._deliver_ready():
            if not self._consumption.intake.wait_for_message(max(end - time.monotonic(), 0)):
                raise Empty

    # -- settling -----------------------------------------------------------------------------------------------------------

    def basic_ack(self, delivery_tag: str, multiple: bool = False) -> None:
        """The job is done: its slot is free at once, its message is deleted with others. Never waits for SQS."""
        self.qos.ack(delivery_tag)
        if self._consumption is not None:
            self._consumption.finish(delivery_tag)
            self._wake()

    def basic_reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """``requeue``: others may have the message at once. Otherwise it goes to the dead letters, with the cause noted for it."""
        self.qos.ack(delivery_tag)
        if self._consumption is not None:
            if requeue:
                self._consumption.give_back(delivery_tag)
            else:
                self._consumption.refuse(delivery_tag)
            self._wake()

    @property
    def held_count(self) -> int:
        """Messages in hand, running or not: what a worker that is killed keeps from others until their visibility lapses."""
        return len(self._consumption.intake.in_hand()) if self._consumption is not None else 0

    def note_cause(self, delivery_tag: str, cause: Cause) -> None:
        """Why the delivery is about to be rejected."""
        if self._consumption is not None:
            self._consumption.note_cause(delivery_tag, replace(cause, release=self.options.release))

    def note_put_off(self, delivery_tag: str, put_off: PutOff) -> None:
        """The delivery is about to be rejected because what it needs is away."""
        if self._consumption is not None:
            self._consumption.note_put_off(delivery_tag, put_off)

    def suspend(self, queues: Collection[str]) -> None:
        """Receive nothing from these until :meth:`resume`, which any thread may call; what is buffered of them waits in SQS meanwhile."""
        if self._consumption is not None:
            self._consumption.intake.suspend(queues)

    def resume(self, queues: Collection[str]) -> None:
        if self._consumption is not None:
            self._consumption.intake.resume(queues)

    def close(self) -> None:
        """Receive no more, give back what is left, and tell SQS everything that it has to know."""
        if self._consumption is not None and not self._told_to_close:
            self._told_to_close = True
            with contextlib.suppress(Exception):
                for tag in list(self._consumers):
                    self.basic_cancel(tag)
            self._consumption.close()
            if self._wakeup is not None:
                self._wakeup.close()
        super().close()
