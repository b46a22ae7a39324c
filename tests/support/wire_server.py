"""A server that answers HTTP by script, well, badly, late and never, and notes what arrived on which connection."""

import json
import socket
import ssl
import struct
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

SENT = {"MessageId": "m-1", "MD5OfMessageBody": "d"}


class Then(Enum):
    KEEP = auto()
    CLOSE = auto()
    RESET = auto()
    HANG = auto()


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    raw: bytes = b""
    then: Then = Then.KEEP


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    connection: int
    head: str
    body: Any

    @property
    def operation(self) -> str:
        return self.header("x-amz-target").partition(".")[2]

    def header(self, name: str) -> str:
        lines = (line.partition(":") for line in self.head.split("\r\n")[1:])
        return next(value.strip() for key, _, value in lines if key.strip().lower() == name)


def http(status: int, body: Any = b"", *headers: str) -> bytes:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} Reason", f"Content-Length: {len(content)}", "Content-Type: application/x-amz-json-1.0", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + content


def error(status: int, code: str, *headers: str) -> bytes:
    return http(status, {"__type": f"com.amazonaws.sqs#{code}", "message": "no"}, *headers)


def echoed(request: Request) -> Reply:
    """The good answer to a SendMessage; the identity is what was sent."""
    return Reply(raw=http(200, SENT | {"MessageId": request.body.get("MessageBody", "m")}))


@dataclass
class Server:
    """Reads whole requests and answers by script, then by ``otherwise``. Counts connections."""

    tls: ssl.SSLContext | None = None
    otherwise: Callable[[Request], Reply] = echoed
    script: deque[Reply] = field(default_factory=deque)
    requests: list[Request] = field(default_factory=list)
    connections: int = 0
    ended: int = 0

    def __post_init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        scheme = "https" if self.tls else "http"
        self.url = f"{scheme}://127.0.0.1:{self._listener.getsockname()[1]}"
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def stop(self) -> None:
        # close() alone does not wake a thread that waits in accept() or recv().
        for one in [self._listener, *self._open]:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        for thread in self._threads:
            thread.join(5)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.connections += 1
                self._open.append(connection)
                thread = threading.Thread(target=self._serve, args=(connection, self.connections), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _serve(self, connection: socket.socket, number: int) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            with suppress(OSError):
                if self.tls:
                    connection = self.tls.wrap_socket(connection, server_side=True)
                    self._open.append(connection)
                while request := self._read(connection, number):
                    self.requests.append(request)
                    if not self._answer(connection, self.script.popleft() if self.script else self.otherwise(request)):
                        break
        finally:
            connection.close()
            self.ended += 1

    def _read(self, connection: socket.socket, number: int) -> Request | None:
        data = b""
        while b"\r\n\r\n" not in data:
            if not (more := connection.recv(65536)):
                return None
            data += more
        head, _, body = data.partition(b"\r\n\r\n")
        request = Request(connection=number, head=head.decode(), body=None)
        while len(body) < int(request.header("content-length")):
            if not (more := connection.recv(65536)):
                return None
            body += more
        return Request(connection=number, head=head.decode(), body=json.loads(body))

    def _answer(self, connection: socket.socket, reply: Reply) -> bool:
        connection.sendall(reply.raw)
        match reply.then:
            case Then.KEEP:
                return True
            case Then.HANG:
                connection.recv(1)  # until the client gives up
            case Then.RESET:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            case Then.CLOSE:
                connection.shutdown(socket.SHUT_RDWR)
        return False
