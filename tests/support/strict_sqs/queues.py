"""SQS's part: what becomes of a request to a queue, and of its answer."""

import asyncio
import contextlib
import json
import random
import time
from collections.abc import Awaitable, Callable
from typing import Any

from tests.support.strict_sqs.answers import refused
from tests.support.strict_sqs.call import Call
from tests.support.strict_sqs.deliveries import Deliveries, Standing
from tests.support.strict_sqs.habits import Habits
from tests.support.strict_sqs.http11 import Answer, json_answer
from tests.support.strict_sqs.refusals import (
    Refusal,
    refusal_of_batch,
    refusal_of_message,
    refusal_of_receive,
    refusal_of_visibility,
)

Exchange = Callable[[bytes], Awaitable[Answer]]

#: A second copy of a message is shown this many seconds after the first, at most.
LATEST_COPY_SECONDS = 2
LATE_SEND_SECONDS = 1
_DEFAULT_VISIBILITY_SECONDS = 30

_STALE = Refusal(
    "InvalidParameterValue",
    "Value for parameter ReceiptHandle is invalid. Reason: Message does not exist or is not available for visibility timeout change.",
)
_LAPSED = Refusal("MessageNotInflight", "The specified message isn't in flight.")


class Knowledge:
    """What every port of the process knows of the queues: a message may be received at one and deleted at another."""

    def __init__(self) -> None:
        self.deliveries = Deliveries()
        self.visibility_seconds: dict[str, int] = {}


class Queues:
    """Answers the SQS calls of one port. ``aside`` makes a call of our own on a connection of its own."""

    def __init__(self, knowledge: Knowledge, aside: Exchange, habits: Habits, seed: int) -> None:
        self.habits = habits
        self._knowledge = knowledge
        self._aside = aside
        self._asides: set[asyncio.Task[None]] = set()
        # A generator for each habit: switching one off does not move the draws of the others.
        self._random = {name: random.Random(f"{seed} {name}") for name in Habits.__dataclass_fields__}  # noqa: S311 — a test's dice
        self._handlers: dict[str, Callable[[Call, Exchange], Awaitable[Answer | None]]] = {
            "SendMessage": self._send,
            "SendMessageBatch": self._send_batch,
            "ReceiveMessage": self._receive,
            "DeleteMessage": self._delete,
            "DeleteMessageBatch": self._delete_batch,
            "ChangeMessageVisibility": self._change,
            "ChangeMessageVisibilityBatch": self._change_batch,
        }

    async def answer(self, call: Call, exchange: Exchange) -> Answer | None:
        """Answer a call, asking the local AWS through ``exchange``; ``None`` if the answer is to be lost."""
        handler = self._handlers.get(call.operation)
        if handler is not None:
            return await handler(call, exchange)
        received = await exchange(call.encode())
        if call.operation in {"PurgeQueue", "DeleteQueue"}:
            self._knowledge.deliveries.forget(call.queue)
        if call.operation in {"SetQueueAttributes", "CreateQueue", "DeleteQueue"}:
            self._knowledge.visibility_seconds.pop(call.queue, None)
        return received

    # -- sending --------------------------------------------------------------------------------------------------

    async def _send(self, call: Call, exchange: Exchange) -> Answer:
        if refusal := refusal_of_message(call.document):
            return refused(refusal)
        is_late = self._delay(call.document, call.queue)
        return await exchange(call.encode(call.document if is_late else None))

    async def _send_batch(self, call: Call, exchange: Exchange) -> Answer:
        def judge(entry: dict[str, Any]) -> Refusal | None:
            return refusal_of_message(entry)

        def prepare(entry: dict[str, Any]) -> bool:
            return self._delay(entry, call.queue)

        return await self._batch(call, exchange, judge, prepare)

    def _delay(self, message: dict[str, Any], queue: str) -> bool:
        """Delay the message if it has no delay of its own and the dice say so; a FIFO queue takes none."""
        if message.get("DelaySeconds") is not None or queue.endswith(".fifo") or not self._draw("late_sends"):
            return False
        message["DelaySeconds"] = LATE_SEND_SECONDS
        return True

    # -- receiving ------------------------------------------------------------------------------------------------

    async def _receive(self, call: Call, exchange: Exchange) -> Answer | None:
        if refusal := refusal_of_receive(call.document):
            return refused(refusal)
        visibility = await self._visibility_of(call)
        document = None
        asked = call.document.get("MaxNumberOfMessages", 1)
        if asked > 1 and self._draw("short_receives"):
            document = call.document | {"MaxNumberOfMessages": self._random["short_receives"].randint(1, asked - 1)}
        received = await exchange(call.encode(document))
        call.entries = 0
        if received.status != 200:
            return received
        answered = json.loads(received.body or b"{}")
        messages = answered.get("Messages") or []
        call.entries = len(messages)
        if not messages:
            return received
        until = time.monotonic() + visibility
        for message in messages:
            self._knowledge.deliveries.received(call.queue, message["MessageId"], message["ReceiptHandle"], until=until)
        if self._draw("lost_receives"):
            self._show_again(call, messages, self.habits.lost_for_seconds)
            return None
        for message in messages:
            if self._draw("duplicates") and self._knowledge.deliveries.copied(call.queue, message["MessageId"]):
                self._show_again(call, [message], self._random["duplicates"].randint(0, LATEST_COPY_SECONDS))
        if not self.habits.shuffle or len(messages) == 1:
            return received
        self._random["shuffle"].shuffle(messages)
        return received.with_body(json.dumps(answered).encode())

    async def _visibility_of(self, call: Call) -> int:
        asked = call.document.get("VisibilityTimeout")
        if asked is not None:
            return int(asked)
        if call.queue not in self._knowledge.visibility_seconds:
            request = call.another("GetQueueAttributes", {"QueueUrl": call.document["QueueUrl"], "AttributeNames": ["VisibilityTimeout"]})
            found = await self._aside(request)
            if found.status != 200:
                return _DEFAULT_VISIBILITY_SECONDS  # of a queue that does not exist: the receive will say so
            self._knowledge.visibility_seconds[call.queue] = int(json.loads(found.body)["Attributes"]["VisibilityTimeout"])
        return self._knowledge.visibility_seconds[call.queue]

    def _show_again(self, call: Call, messages: list[dict[str, Any]], seconds: int) -> None:
        """Make messages visible in the local AWS so much later, whatever their visibility timeout."""
        entries = [
            {"Id": str(position), "ReceiptHandle": message["ReceiptHandle"], "VisibilityTimeout": seconds}
            for position, message in enumerate(messages)
        ]
        request = call.another("ChangeMessageVisibilityBatch", {"QueueUrl": call.document["QueueUrl"], "Entries": entries})

        async def show() -> None:
            with contextlib.suppress(ConnectionError):  # the session ends
                await self._aside(request)

        task = asyncio.create_task(show())
        self._asides.add(task)
        task.add_done_callback(self._asides.discard)

    # -- settling -------------------------------------------------------------------------------------------------

    async def _delete(self, call: Call, exchange: Exchange) -> Answer:
        handle = call.document.get("ReceiptHandle", "")
        standing = self._standing(call, handle)
        if standing in {Standing.STALE, Standing.SHADOWED}:
            return json_answer({})
        received = await exchange(call.encode())
        if received.status == 200:
            self._knowledge.deliveries.deleted(call.queue, handle)
        elif standing is not Standing.UNKNOWN and b"ReceiptHandleIsInvalid" in received.body:
            return json_answer({})  # purged, or moved to the dead letters: AWS still knows the handle
        return received

    async def _delete_batch(self, call: Call, exchange: Exchange) -> Answer:
        known: set[str] = set()
        silent: list[str] = []
        handles: dict[str, str] = {}
        for entry in call.document.get("Entries", ()):
            handle = entry.get("ReceiptHandle", "")
            standing = self._standing(call, handle)
            # The local AWS refuses a batch that names a handle twice; AWS does not.
            if standing in {Standing.STALE, Standing.SHADOWED} or handle in handles.values():
                silent.append(entry["Id"])
                continue
            handles[entry["Id"]] = handle
            if standing is not Standing.UNKNOWN:
                known.add(entry["Id"])

        received = await self._batch(call, exchange, answered_here=silent)
        if received.status != 200:
            return received
        answered = json.loads(received.body)
        for entry in answered.get("Successful", ()):
            if entry["Id"] in handles:
                self._knowledge.deliveries.deleted(call.queue, handles[entry["Id"]])
        forgiven = [entry for entry in answered.get("Failed", ()) if entry["Id"] in known and entry["Code"] == "ReceiptHandleIsInvalid"]
        if not forgiven:
            return received
        answered["Failed"] = [entry for entry in answered["Failed"] if entry not in forgiven]
        answered["Successful"] += [{"Id": entry["Id"]} for entry in forgiven]
        return received.with_body(json.dumps(answered).encode())

    async def _change(self, call: Call, exchange: Exchange) -> Answer:
        refusal = refusal_of_visibility(call.document) or self._refusal_of_change(call, call.document)
        if refusal:
            return refused(refusal)
        if self._standing(call, call.document["ReceiptHandle"]) is Standing.SHADOWED:
            self._renew(call, call.document)
            return json_answer({})
        received = await exchange(call.encode())
        if received.status == 200:
            self._renew(call, call.document)
        return received

    async def _change_batch(self, call: Call, exchange: Exchange) -> Answer:
        entries = {entry.get("Id"): entry for entry in call.document.get("Entries", ())}
        shadowed = [name for name, entry in entries.items() if self._standing(call, entry.get("ReceiptHandle", "")) is Standing.SHADOWED]

        def judge(entry: dict[str, Any]) -> Refusal | None:
            return refusal_of_visibility(entry) or self._refusal_of_change(call, entry)

        received = await self._batch(call, exchange, judge, answered_here=shadowed)
        if received.status == 200:
            for entry in json.loads(received.body).get("Successful", ()):
                self._renew(call, entries[entry["Id"]])
        return received

    def _refusal_of_change(self, call: Call, change: dict[str, Any]) -> Refusal | None:
        standing = self._standing(call, change.get("ReceiptHandle", ""))
        return {Standing.STALE: _STALE, Standing.LAPSED: _LAPSED}.get(standing)

    def _renew(self, call: Call, change: dict[str, Any]) -> None:
        self._knowledge.deliveries.renewed(call.queue, change["ReceiptHandle"], until=time.monotonic() + int(change["VisibilityTimeout"]))

    def _standing(self, call: Call, handle: str) -> Standing:
        return self._knowledge.deliveries.standing(call.queue, handle, now=time.monotonic())

    # -- batches --------------------------------------------------------------------------------------------------

    async def _batch(
        self,
        call: Call,
        exchange: Exchange,
        judge: Callable[[dict[str, Any]], Refusal | None] = lambda _entry: None,
        prepare: Callable[[dict[str, Any]], bool] = lambda _entry: False,
        answered_here: list[str] | None = None,
    ) -> Answer:
        """Refuse the batch, or some entries, or answer some with success without asking; forward the rest, prepared."""
        entries = call.document.get("Entries") or []
        if refusal := refusal_of_batch(call.operation, entries):
            return refused(refusal)
        successful: list[dict[str, Any]] = []
        failed: list[dict[str, Any]] = []
        forwarded: list[dict[str, Any]] = []
        is_changed = False
        for entry in entries:
            if answered_here and entry["Id"] in answered_here:
                successful.append({"Id": entry["Id"]})
            elif refusal := judge(entry):
                failed.append(refusal.of_entry(entry["Id"]))
            else:
                is_changed |= prepare(entry)
                forwarded.append(entry)
        if not forwarded:
            return json_answer({"Successful": successful, "Failed": failed})
        is_changed |= len(forwarded) < len(entries)
        received = await exchange(call.encode(call.document | {"Entries": forwarded} if is_changed else None))
        if received.status != 200 or not (successful or failed):
            return received
        answered = json.loads(received.body)
        answered["Successful"] = [*answered.get("Successful", ()), *successful]
        answered["Failed"] = [*answered.get("Failed", ()), *failed]
        return received.with_body(json.dumps(answered).encode())

    def _draw(self, habit: str) -> bool:
        rate: float = getattr(self.habits, habit)
        return self._random[habit].random() < rate
