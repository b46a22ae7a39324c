"""The partner over HTTP, one thread for each connection."""

import gzip
import json
import socket
import socketserver
import struct
import sys
import time
from functools import cache
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

from scripts.laptop.loopback import HOST
from scripts.laptop.partner.partner import Answer, Fault, Mode, Operation, Partner

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
_HANGS_FOR_SECONDS = 60
_DRIP_SECONDS = 0.1
_BIG = 12_000_000
_BOMB = 50_000_000
_USER = "/v1/users/"
_STATUSES = {Mode.ERROR_500: 500, Mode.BUSY: 429, Mode.DENY: 422}
_BACK_DOOR = ("/_faults", "/_journal", "/_users")


class Server(socketserver.ThreadingTCPServer):
    """The partner's paths, and the back door: ``/_faults``, ``/_journal`` and ``/_users``."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, port: int, partner: Partner) -> None:
        self.partner = partner
        super().__init__((HOST, port), _Handler)

    def shutdown_request(self, request: Any) -> None:
        self.close_request(request)  # without a FIN first, so that a fault can reset

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


@cache
def _bomb() -> bytes:
    return gzip.compress(b'"' + b"0" * _BOMB + b'"', compresslevel=1)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        self._handle()

    def do_POST(self) -> None:
        self._handle()

    def do_DELETE(self) -> None:
        self._handle()

    def log_message(self, *_: Any) -> None:
        pass

    def _handle(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        url = urlsplit(self.path)
        if url.path in _BACK_DOOR:
            self._send(*self._control(url.path, body))
            return
        operation = self._operation(url.path)
        if operation is None:
            self._send(404, {"error": "no such address"})
            return
        key = self.headers.get("Authorization", "")
        fault = self.server.partner.take_fault(operation, has_key=bool(key), idempotency_key=self.headers.get("Idempotency-Key"))
        if not key:
            self._send(401, {"error": "send Authorization: Bearer …"})
        elif fault is not None:
            self._break(fault)
        else:
            answer = self._answer(operation, url.path, parse_qs(url.query), body)
            self._send(answer.status, answer.body)

    def _operation(self, path: str) -> Operation | None:
        match self.command, path:
            case "POST", "/v1/shipping/quotes":
                return Operation.QUOTE
            case "GET", "/v1/users/changes":
                return Operation.CHANGES
            case "GET", _ if path.startswith(_USER):
                return Operation.USER
        return None

    def _answer(self, operation: Operation, path: str, query: dict[str, list[str]], body: bytes) -> Answer:
        partner = self.server.partner
        try:
            match operation:
                case Operation.QUOTE:
                    return partner.quote(json.loads(body))
                case Operation.CHANGES:
                    return partner.changes(int(query.get("after", ["0"])[0] or 0), int(query.get("limit", ["100"])[0]))
                case Operation.USER:
                    return partner.user(path.removeprefix(_USER))
        except ValueError as error:
            return Answer(status=400, body={"error": str(error)})

    def _control(self, path: str, body: bytes) -> tuple[int, object]:
        partner = self.server.partner
        try:
            match self.command, path:
                case "GET", "/_journal":
                    return 200, partner.journal()
                case "DELETE", "/_faults":
                    partner.heal()
                    return 200, {}
                case "POST", "/_faults":
                    told = json.loads(body)
                    partner.order(Fault(**told | {"operation": Operation(told["operation"]), "mode": Mode(told["mode"])}))
                    return 200, {}
                case "POST", "/_users":
                    partner.change(json.loads(body))
                    return 200, {}
        except (ValueError, TypeError, KeyError) as error:
            return 400, {"error": f"{path} does not understand {body[:200]!r}: {error}"}
        return 405, {"error": f"{self.command} {path} is not one of GET /_journal, POST and DELETE /_faults, POST /_users"}

    def _break(self, fault: Fault) -> None:
        if fault.mode in _STATUSES:
            self._send(_STATUSES[fault.mode], {"error": "we do not ship there" if fault.mode is Mode.DENY else "an ordered fault"})
            return
        match fault.mode:
            case Mode.RESET:
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
                raise ConnectionError("an ordered fault")
            case Mode.HANG:
                time.sleep(_HANGS_FOR_SECONDS)
                self.close_connection = True
            case Mode.DRIP:
                self._drip(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n", b"0" * 1000)
            case Mode.DRIP_HEADERS:
                self._drip(b"", b"HTTP/1.1 200 OK\r\n" + b"X-Never: ending\r\n" * 100)
            case Mode.BIG:
                self._write(b'"' + b"0" * _BIG + b'"', {})
            case Mode.BOMB:
                self._write(_bomb(), {"Content-Encoding": "gzip"})
            case Mode.REDIRECT:
                self._write(b"", {"Location": fault.location}, status=307)

    def _drip(self, at_once: bytes, slowly: bytes) -> None:
        self.wfile.write(at_once)
        for byte in slowly:
            self.wfile.write(bytes([byte]))
            time.sleep(_DRIP_SECONDS)

    def _send(self, status: int, body: object) -> None:
        self._write(json.dumps(body).encode(), {}, status=status)

    def _write(self, data: bytes, headers: dict[str, str], *, status: int = 200) -> None:
        self.send_response(status, HTTPStatus(status).phrase)
        # Without a length for what is large: nobody shall be able to refuse it for what it says of itself.
        if len(data) < _BIG // 100:
            self.send_header("Content-Length", str(len(data)))
        else:
            self.close_connection = True
            self.send_header("Connection", "close")
        self.send_header("Content-Type", "application/json")
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)
