"""One port: the AWS of one deployment, with its faults, its habits and its log."""

import asyncio
import contextlib
import random
import socket
import time
from collections import deque
from dataclasses import dataclass
from fnmatch import fnmatchcase

from tests.support.faults import Fault, Network
from tests.support.strict_sqs.answers import failed
from tests.support.strict_sqs.call import SQS, Call
from tests.support.strict_sqs.habits import Habits
from tests.support.strict_sqs.http11 import BUFFER_BYTES, Answer, Head, Upstream, read_head, reset
from tests.support.strict_sqs.queues import Knowledge, Queues
from tests.support.strict_sqs.unprocessed import answer_partly

HOST = "127.0.0.1"
#: Older requests are forgotten.
MOST_REQUESTS = 200_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """``operation`` is a name or a pattern of ``fnmatch``: ``ReceiveMessage``, ``DynamoDB.*``; ``None`` is every one of SQS."""

    operation: str | None
    fault: Fault
    probability: float = 1
    seconds: float = 3

    def is_about(self, call: Call) -> bool:
        return call.service == SQS if self.operation is None else fnmatchcase(call.name, self.operation)


class Port:
    """Listens from :meth:`open` to :meth:`close`."""

    def __init__(self, target: tuple[str, int], knowledge: Knowledge, habits: Habits, seed: int) -> None:
        self._target = target
        self.queues = Queues(knowledge, self._aside, habits, seed)
        self.requests: deque[tuple[float, str, str, int, int, str]] = deque(maxlen=MOST_REQUESTS)
        self.open_requests = 0
        self._random = random.Random(f"{seed} faults")  # noqa: S311 — a test's dice
        self._rules: list[Rule] = []
        self._network = Network.HEALTHY
        self._links: set[_Link] = set()
        self._swallowed: set[_Link] = set()
        self._server: asyncio.Server | None = None
        # Bound and not listening: nobody else gets the number while we refuse connections.
        self._reservation = _bound(0)
        self.number: int = self._reservation.getsockname()[1]

    async def open(self) -> None:
        if self._server is None:
            self._server = await asyncio.get_running_loop().create_server(
                lambda: _Link(self), sock=_bound(self.number), backlog=512, start_serving=True
            )

    def refuse(self) -> None:
        """Stop listening and reset what is open."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self._hang_up(self._links)

    def close(self) -> None:
        self.refuse()
        self._reservation.close()

    # -- faults ---------------------------------------------------------------------------------------------------

    async def become(self, network: Network) -> None:
        """From now on, for new and open connections; ends every rule, too."""
        self._rules.clear()
        self._network = network
        if network is Network.REFUSED:
            self.refuse()
            return
        await self.open()
        if network is Network.HEALTHY:
            # What was swallowed will not be answered any more.
            self._hang_up(self._swallowed)

    def fail(self, rule: Rule) -> None:
        if rule.fault is Fault.REFUSED:
            self._network = Network.REFUSED
            self.refuse()
        else:
            self._rules.insert(0, rule)

    def _hang_up(self, links: "set[_Link]") -> None:
        for link in list(links):
            link.reset()

    def _draw_fault(self, call: Call) -> Rule | None:
        return next((rule for rule in self._rules if rule.is_about(call) and self._random.random() < rule.probability), None)

    # -- connections ----------------------------------------------------------------------------------------------

    async def serve(self, link: "_Link", reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._links.add(link)
        upstream = Upstream(*self._target)
        try:
            while (head := await read_head(reader)) is not None:
                if b"x-amz-target" not in head.headers or b"content-length" not in head.headers:
                    await self._tunnel(head, reader, writer, upstream)
                    return
                if b"expect" in head.headers:
                    writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                call = Call(head, await reader.readexactly(int(head.headers[b"content-length"])))
                answered = await self._answer(call, link, upstream)
                if answered is None:
                    reset(writer.transport)
                    return
                writer.write(answered.encode())
                await writer.drain()
                if answered.closes:
                    writer.close()
                    return
        except (ConnectionError, asyncio.IncompleteReadError):
            reset(writer.transport)
        finally:
            if not writer.is_closing():
                writer.transport.abort()
            upstream.close()
            self._links.discard(link)
            self._swallowed.discard(link)

    async def _answer(self, call: Call, link: "_Link", upstream: Upstream) -> Answer | None:
        """``None``: hang up."""
        arrived = time.monotonic()
        rule = self._draw_fault(call)
        answered: Answer | None = None
        self.open_requests += 1
        try:
            if self._network is not Network.SILENT:
                answered = await self._answer_with(rule, call, upstream)
            if self._is_swallowed(rule, call):
                answered = None
                self._swallowed.add(link)
                await asyncio.Event().wait()  # until somebody hangs up
        finally:
            self.open_requests -= 1
            self._note(arrived, call, answered)
        return answered

    def _is_swallowed(self, rule: Rule | None, call: Call) -> bool:
        """Also what was asked before a silence began."""
        if self._network is Network.SILENT or (rule is not None and rule.fault is Fault.SILENT):
            return True
        return any(silence.fault is Fault.SILENT and silence.probability == 1 and silence.is_about(call) for silence in self._rules)

    async def _answer_with(self, rule: Rule | None, call: Call, upstream: Upstream) -> Answer | None:
        if rule is not None:
            if made_up := failed(call, rule.fault):
                return made_up
            if rule.fault is Fault.PARTLY:
                if (partly := await answer_partly(call, upstream.exchange)) is not None:
                    return partly
                if self._random.random() < 0.5 and (throttled := failed(call, Fault.THROTTLED)):
                    return throttled
            if rule.fault in {Fault.RESET, Fault.SILENT}:
                return None
            if rule.fault is Fault.SLOW:
                await asyncio.sleep(rule.seconds)
        if call.service == SQS:
            answered = await self.queues.answer(call, upstream.exchange)
        else:
            answered = await upstream.exchange(call.encode())
        return None if rule is not None and rule.fault is Fault.LOST_ANSWER else answered

    def _note(self, arrived: float, call: Call, answered: Answer | None) -> None:
        self.requests.append((arrived, call.name, call.queue, call.entries, answered.status if answered else 0, call.access_key))

    async def _tunnel(self, head: Head, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, upstream: Upstream) -> None:
        """Whatever is not AWS's JSON protocol, byte by byte."""

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            with contextlib.suppress(ConnectionError):
                while data := await source.read(65536):
                    if self._network is not Network.SILENT:
                        sink.write(data)
                        await sink.drain()

        from_aws, to_aws = await upstream.streams()
        if self._network is not Network.SILENT:
            to_aws.write(head.raw)
        pumps = [asyncio.create_task(pump(reader, to_aws)), asyncio.create_task(pump(from_aws, writer))]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in pumps:
                task.cancel()

    async def _aside(self, request: bytes) -> Answer:
        upstream = Upstream(*self._target)
        try:
            return await upstream.exchange(request)
        finally:
            upstream.close()


class _Link(asyncio.StreamReaderProtocol):
    """One client's connection. The work on it ends when the client is gone: nobody must receive for the dead."""

    def __init__(self, port: Port) -> None:
        loop = asyncio.get_running_loop()
        super().__init__(asyncio.StreamReader(limit=BUFFER_BYTES, loop=loop), self._begin, loop)
        self._port = port
        self._client: asyncio.StreamWriter | None = None
        self._work: asyncio.Task[None] | None = None  # asyncio has a _task of its own here

    def _begin(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._client = writer
        self._work = asyncio.get_running_loop().create_task(self._port.serve(self, reader, writer))

    def reset(self) -> None:
        if self._client is not None:
            reset(self._client.transport)

    def eof_received(self) -> bool:
        super().eof_received()
        self._end()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._end()

    def _end(self) -> None:
        if self._work is not None:
            self._work.cancel()


def _bound(number: int) -> socket.socket:
    bound = socket.socket()
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    bound.bind((HOST, number))
    return bound
