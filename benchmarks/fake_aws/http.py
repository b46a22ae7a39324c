"""HTTP/1.1 as AWS's SDKs speak it: POST with a length, kept alive, one request after the other."""

import asyncio
import json
import logging
from collections.abc import Callable
from typing import Any
from zlib import crc32

from benchmarks.fake_aws.bench import Bench, encode
from benchmarks.fake_aws.operations import DynamoDb, Sqs
from benchmarks.fake_aws.refusal import Refusal

_HEAD = (
    b"HTTP/1.1 %d %s\r\nContent-Type: application/x-amz-json-1.0\r\nx-amzn-RequestId: 00000000-0000-4000-8000-000000000000\r\n"
    b"x-amz-crc32: %d\r\nContent-Length: %d\r\n\r\n"
)
#: Counted beside the operations.
GARBLED = "garbled"
_OK = 200
_REFUSED = 400
_BROKEN = 500

logger = logging.getLogger(__name__)


class NotJson(Exception):
    """Raised for a body that cannot be read."""


class Connection(asyncio.Protocol):
    """Reads requests, dispatches them by ``X-Amz-Target`` and answers after the latency."""

    def __init__(self, sqs: Sqs, dynamodb: DynamoDb, bench: Bench) -> None:
        self._services = {service.prefix: service for service in (sqs, dynamodb, bench)}
        self._bench = bench
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._is_busy = False
        self._is_continued = False
        self._poll: asyncio.Future[Any] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 — narrows asyncio's type
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._poll is not None:
            # Whoever hung up must get no messages.
            self._poll.cancel()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self._read()

    def _read(self) -> None:
        while not self._is_busy and self._transport is not None:
            head, separator, rest = self._buffer.partition(b"\r\n\r\n")
            if not separator:
                return
            headers = _headers(head)
            length = int(headers.get(b"content-length", b"0"))
            if len(rest) < length:
                if headers.get(b"expect") == b"100-continue" and not self._is_continued:
                    self._is_continued = True
                    self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                return
            self._is_continued = False
            self._buffer = rest[length:]
            self._serve(headers.get(b"x-amz-target", b"").decode(), rest[:length])

    def _serve(self, target: str, body: bytes) -> None:
        service, _, operation = target.partition(".")
        is_free = service == Bench.prefix
        if not is_free:
            self._bench.requests[operation or GARBLED] += 1
            self._bench.request_bytes[operation] += len(body)
        self._is_busy = True
        status, answer = self._perform(service, operation, body)
        if isinstance(answer, asyncio.Future):
            self._poll = answer
            answer.add_done_callback(self._long_poll_ended)
        elif is_free:
            self._answer(status, answer)
        else:
            self._answer_late(status, answer)

    def _perform(self, service: str, operation: str, body: bytes) -> tuple[int, Any]:
        try:
            return _OK, self._method(service, operation)(_parsed(body))
        except Refusal as refusal:
            shown = {} if refusal.item is None else {"Item": refusal.item}
            return _REFUSED, {"__type": refusal.code, "message": refusal.message} | shown
        except NotJson:
            # Most often two processes wrote to one connection, which one of them inherited.
            self._bench.requests[GARBLED] += 1
            return _REFUSED, {"__type": "com.amazon.coral.service#SerializationException", "message": "This is not JSON."}
        except Exception as error:
            logger.exception("%s.%s", service, operation)
            return _BROKEN, {"__type": "InternalFailure", "message": repr(error)}

    def _method(self, service: str, operation: str) -> Callable[[Any], Any]:
        method: Callable[[Any], Any] | None = getattr(self._services.get(service), operation, None) if operation[:1].isupper() else None
        if method is None:
            raise Refusal("com.amazon.coral.service#UnknownOperationException", f"This fake does not know {service}.{operation}")
        return method

    def _long_poll_ended(self, poll: "asyncio.Future[Any]") -> None:
        self._poll = None
        if not poll.cancelled():
            self._answer_late(_OK, poll.result())

    def _answer_late(self, status: int, answer: Any) -> None:
        if self._bench.latency_seconds:
            self._loop.call_later(self._bench.latency_seconds, self._answer, status, answer)
        else:
            self._answer(status, answer)

    def _answer(self, status: int, answer: Any) -> None:
        self._is_busy = False
        if self._transport is None:
            return
        body = encode(answer)
        # DynamoDB's clients check the sum.
        self._transport.write(_HEAD % (status, b"OK" if status == _OK else b"Error", crc32(body), len(body)) + body)
        if self._buffer:
            self._loop.call_soon(self._read)


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError as error:
        raise NotJson from error


def _headers(head: bytes) -> dict[bytes, bytes]:
    lines = head.split(b"\r\n")[1:]
    return {name.strip().lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines)}
