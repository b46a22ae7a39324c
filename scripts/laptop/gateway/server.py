"""The gateway over HTTP, one thread for each connection."""

import base64
import binascii
import json
import re
import secrets
import socket
import socketserver
import struct
import sys
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from scripts.laptop.gateway.faults import ConnectionCut, Fault, Mode
from scripts.laptop.gateway.gateway import Gateway
from scripts.laptop.gateway.messages import Operation, Refused, Request
from scripts.laptop.loopback import HOST

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)

_ROUTES = (
    ("POST", re.compile(r"/v1/payment_intents"), Operation.CREATE),
    ("GET", re.compile(r"/v1/payment_intents"), Operation.LIST),
    ("GET", re.compile(r"/v1/payment_intents/(\w+)"), Operation.RETRIEVE),
    ("POST", re.compile(r"/v1/payment_intents/(\w+)/confirm"), Operation.CONFIRM),
    ("POST", re.compile(r"/v1/payment_intents/(\w+)/cancel"), Operation.CANCEL),
    ("POST", re.compile(r"/v1/refunds"), Operation.REFUND),
    ("GET", re.compile(r"/v1/refunds"), Operation.LIST_REFUNDS),
    ("GET", re.compile(r"/v1/refunds/(\w+)"), Operation.RETRIEVE_REFUND),
)


class Server(socketserver.ThreadingTCPServer):
    """Stripe's paths, and the back door: ``/_faults`` and ``/_journal``."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, port: int, gateway: Gateway) -> None:
        self.gateway = gateway
        super().__init__((HOST, port), _Handler)

    def shutdown_request(self, request: Any) -> None:
        self.close_request(request)  # without a FIN first, so that a fault can reset

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_DELETE(self) -> None:
        self._answer()

    def log_message(self, *_: Any) -> None:
        pass

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        url = urlsplit(self.path)
        if url.path in {"/_faults", "/_journal"}:
            self._send(*self._control(url.path, body))
            return
        try:
            answer = self.server.gateway.handle(self._parse(url.path, body if self.command == "POST" else url.query))
        except Refused as refusal:
            answer = refusal.answer
        except ConnectionCut:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            raise
        self._send(answer.status, answer.body, is_replayed=answer.is_replayed)

    def _control(self, path: str, body: str) -> tuple[int, object]:
        gateway = self.server.gateway
        match self.command, path:
            case "GET", "/_journal":
                return 200, gateway.entries()
            case "DELETE", "/_faults":
                gateway.clear_faults()
                return 200, {}
            case "POST", "/_faults":
                try:
                    order = json.loads(body)
                    fault = Fault(**order | {"operation": Operation(order["operation"]), "mode": Mode(order["mode"])})
                except (ValueError, TypeError, KeyError) as error:
                    return 400, {"error": f"expected operation, mode and perhaps times and seconds, got {body!r}: {error}"}
                gateway.order_fault(fault)
                return 200, {}
        return 405, {"error": f"{self.command} {path} is not one of GET /_journal, POST /_faults, DELETE /_faults"}

    def _parse(self, path: str, form: str) -> Request:
        api_key = self._api_key()
        for method, pattern, operation in _ROUTES:
            if method == self.command and (match := pattern.fullmatch(path)):
                return Request(
                    operation=operation,
                    method=method,
                    path=path,
                    target=match[1] if match.groups() else "",
                    parameters=dict(parse_qsl(form, keep_blank_values=True)),
                    api_key=api_key,
                    idempotency_key=self.headers.get("Idempotency-Key"),
                )
        raise Refused(404, f"Unrecognized request URL ({self.command}: {path}).")

    def _api_key(self) -> str:
        scheme, _, credentials = self.headers.get("Authorization", "").partition(" ")
        if scheme == "Basic":
            try:
                credentials = base64.b64decode(credentials).decode().partition(":")[0]
            except (binascii.Error, UnicodeDecodeError):
                credentials = ""
        if not credentials.startswith("sk_test_"):
            raise Refused(401, "Invalid API Key provided: this gateway takes keys that begin with sk_test_.")
        return credentials

    def _send(self, status: int, body: object, *, is_replayed: bool = False) -> None:
        data = json.dumps(body).encode()
        self.send_response(status, HTTPStatus(status).phrase)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Request-Id", f"req_{secrets.token_hex(7)}")
        if is_replayed:
            self.send_header("Idempotent-Replayed", "true")
        self.end_headers()
        self.wfile.write(data)
