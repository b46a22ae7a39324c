"""As much of HTTP/1.1 as AWS's SDKs and the local AWS speak."""

import asyncio
import json
import re
import socket
import struct
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

#: A read buffer that holds a whole message of SQS.
BUFFER_BYTES = 2 * 1024 * 1024
_LENGTH = re.compile(rb"\r\n(?:content-length|transfer-encoding):[^\r]*", re.IGNORECASE)


@dataclass(slots=True)
class Head:
    """The head of a request or an answer; ``raw`` ends with the empty line."""

    raw: bytes
    headers: dict[bytes, bytes]
    """Names in lower case; of a repeated one the last."""

    @property
    def start(self) -> bytes:
        return self.raw[: self.raw.index(b"\r\n")]

    def with_length(self, length: int) -> bytes:
        """Its bytes for a body of another length."""
        return _LENGTH.sub(b"", self.raw[:-4]) + b"\r\nContent-Length: %d\r\n\r\n" % length


@dataclass(slots=True)
class Answer:
    status: int
    head: Head
    body: bytes

    def with_body(self, body: bytes) -> "Answer":
        return Answer(self.status, self.head, body)

    def encode(self) -> bytes:
        return self.head.with_length(len(self.body)) + self.body

    @property
    def closes(self) -> bool:
        return self.head.headers.get(b"connection", b"").lower() == b"close"


def answer(status: int, body: bytes, content_type: str = "application/x-amz-json-1.0", **headers: str) -> Answer:
    """Make an answer; a header's underscores are hyphens."""
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", f"Content-Type: {content_type}", "x-amzn-RequestId: strict-sqs"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return Answer(status, Head(("\r\n".join(lines) + "\r\n\r\n").encode(), {}), body)


def json_answer(document: Any) -> Answer:
    return answer(200, json.dumps(document).encode())


async def read_head(reader: asyncio.StreamReader) -> Head | None:
    """Read a head; ``None`` when the other side has closed instead."""
    try:
        raw = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    headers = {}
    for line in raw[:-4].split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        headers[name.lower()] = value.strip()
    return Head(raw, headers)


async def read_answer(reader: asyncio.StreamReader) -> Answer:
    """Raises :class:`ConnectionResetError` when the other side closes before its answer is complete."""
    head = await read_head(reader)
    if head is None:
        raise ConnectionResetError("closed without an answer")
    try:
        if b"content-length" in head.headers:
            body = await reader.readexactly(int(head.headers[b"content-length"]))
        elif b"chunked" in head.headers.get(b"transfer-encoding", b""):
            body = await _read_chunks(reader)
        else:
            body = await reader.read()
    except asyncio.IncompleteReadError as error:
        raise ConnectionResetError("closed within an answer") from error
    return Answer(int(head.raw[9:12]), head, body)


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
        body += (await reader.readexactly(size + 2))[:-2]
    await reader.readuntil(b"\r\n")
    return body


def reset(transport: asyncio.BaseTransport) -> None:
    """Close with an RST, as a firewall or a crashed host does."""
    connection = transport.get_extra_info("socket")
    if connection is not None and not transport.is_closing():
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()  # type: ignore[attr-defined] # every transport of a socket has it


class Upstream:
    """A connection to the local AWS that opens when it is needed."""

    def __init__(self, host: str, port: int) -> None:
        self._address = (host, port)
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def streams(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._streams is None or self._streams[0].at_eof():
            self.close()
            self._streams = await asyncio.open_connection(*self._address, limit=BUFFER_BYTES)
        return self._streams

    async def exchange(self, request: bytes) -> Answer:
        reader, writer = await self.streams()
        writer.write(request)
        received = await read_answer(reader)
        if received.closes:
            self.close()
        return received

    def close(self) -> None:
        """At once: the local AWS sees that nobody waits any more and gives no message away."""
        if self._streams is not None:
            self._streams[1].transport.abort()
            self._streams = None
