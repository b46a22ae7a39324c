"""A payment gateway on a laptop: ``python -m scripts.laptop.gateway --port N --journal FILE`` speaks Stripe's PaymentIntents.

- What it does: create, retrieve, confirm, cancel and list payment intents, create and retrieve refunds, for the real SDK.
  Idempotency keys work as Stripe documents them: an answer is stored once execution has begun, even a 402 or a 500; a refused
  parameter stores nothing. Faults can be ordered for the next calls of an operation.
- Its limit: one account's objects are everybody's; only idempotency keys are kept apart by API key. Parameters it does
  not know are ignored.
- How to use it: point the SDK's base address here, with any key that begins with ``sk_test_``.
- What it stores: the journal, JSON lines. An entry counts only once the ``request`` entry that ends its request is written, so a
  crash half-way is a request that never happened; a restart forgets nothing that was answered.
- What it emits: ``GET /_journal``, the entries of kind request, created, capture, decline, canceled and refund. A request that a
  fault left without execution and answer has status 0.

Faults: ``POST /_faults {"operation": "create|confirm|retrieve|…", "mode": …, "times": 1, "seconds": 30}``, ``DELETE /_faults``.

| mode | executed | answer |
|---|---|---|
| refuse | no | connection reset |
| timeout_before, timeout_after | no, yes | none; the connection closes after ``seconds`` |
| error_500_before, error_500_after | no, yes | 500; the latter is stored under the idempotency key, as at Stripe |
| reset_after | yes | connection reset |
| slow | yes | the usual, ``seconds`` later; the idempotency key is in use meanwhile |
"""

import argparse
import base64
import binascii
import hashlib
import json
import re
import secrets
import socket
import socketserver
import struct
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from scripts.laptop.loopback import HOST, serve

Json = dict[str, Any]

APPROVING_CARDS = {"pm_card_visa": "visa", "pm_card_mastercard": "mastercard"}
DECLINING_CARDS = {
    "pm_card_chargeDeclined": ("card_declined", "generic_decline", "Your card was declined."),
    "pm_card_chargeDeclinedInsufficientFunds": (
        "card_declined",
        "insufficient_funds",
        "Your card has insufficient funds.",
    ),
    "pm_card_chargeDeclinedExpiredCard": ("expired_card", "expired_card", "Your card has expired."),
}
MOST_LISTED = 100
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Operation(StrEnum):
    """What a client can ask for, and a fault can hit."""

    CREATE = "create"
    CONFIRM = "confirm"
    CANCEL = "cancel"
    RETRIEVE = "retrieve"
    LIST = "list"
    REFUND = "refund"
    RETRIEVE_REFUND = "retrieve_refund"


class Mode(StrEnum):
    """How a request goes wrong; the module's docstring has the table."""

    REFUSE = "refuse"
    TIMEOUT_BEFORE = "timeout_before"
    TIMEOUT_AFTER = "timeout_after"
    ERROR_500_BEFORE = "error_500_before"
    ERROR_500_AFTER = "error_500_after"
    RESET_AFTER = "reset_after"
    SLOW = "slow"


_ROUTES = (
    ("POST", re.compile(r"/v1/payment_intents"), Operation.CREATE),
    ("GET", re.compile(r"/v1/payment_intents"), Operation.LIST),
    ("GET", re.compile(r"/v1/payment_intents/(\w+)"), Operation.RETRIEVE),
    ("POST", re.compile(r"/v1/payment_intents/(\w+)/confirm"), Operation.CONFIRM),
    ("POST", re.compile(r"/v1/payment_intents/(\w+)/cancel"), Operation.CANCEL),
    ("POST", re.compile(r"/v1/refunds"), Operation.REFUND),
    ("GET", re.compile(r"/v1/refunds/(\w+)"), Operation.RETRIEVE_REFUND),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """Break the next ``times`` requests of an operation."""

    operation: Operation
    mode: Mode
    times: int = 1
    seconds: float = 30.0

    def __post_init__(self) -> None:
        if self.times < 1 or self.seconds < 0:
            raise ValueError(f"expected times >= 1 and seconds >= 0, got {self.times} and {self.seconds}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """One call of the API, parsed."""

    operation: Operation
    method: str
    path: str
    target: str
    parameters: dict[str, str]
    api_key: str
    idempotency_key: str | None

    @property
    def account(self) -> str:
        """Whose idempotency keys these are; a digest, so that no API key reaches the journal."""
        return hashlib.sha256(self.api_key.encode()).hexdigest()[:16]

    @property
    def fingerprint(self) -> str:
        """What must be the same when a key is used again."""
        said = json.dumps([self.method, self.path, sorted(self.parameters.items())])
        return hashlib.sha256(said.encode()).hexdigest()

    @property
    def stored_under(self) -> tuple[str, str] | None:
        """Where the answer is kept for a replay; None for a request that may simply be made again."""
        return (self.account, self.idempotency_key) if self.idempotency_key and self.method == "POST" else None

    @property
    def metadata(self) -> dict[str, str]:
        """The ``metadata[name]`` parameters by name."""
        found = ((re.fullmatch(r"metadata\[(.+)\]", name), value) for name, value in self.parameters.items())
        return {match[1]: value for match, value in found if match}


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """A status and a body, as first given; ``is_replayed`` if it is given again."""

    status: int
    body: Json
    is_replayed: bool = False


@dataclass(kw_only=True, slots=True)
class Effects:
    """What one request changes: entries for the journal, and the objects as they are afterwards."""

    entries: list[Json] = field(default_factory=list)
    changed: dict[str, Json] = field(default_factory=dict)


_NO_ANSWER = Answer(status=0, body={})


class Refused(Exception):
    """Raised to answer with Stripe's error format. ``is_stored`` says whether the idempotency key remembers it."""

    def __init__(self, status: int, message: str, *, kind: str = "invalid_request_error", is_stored: bool = False, **more: Any) -> None:
        super().__init__(message)
        self.answer = Answer(status=status, body={"error": {"type": kind, "message": message, **more}})
        self.is_stored = is_stored


class ConnectionCut(ConnectionError):
    """Raised by a fault to end the connection without an answer."""


# ── state ────────────────────────────────────────────────────────────────────────────────────────────────────────────


class Journal:
    """The file that everything is rebuilt from. Not thread-safe: the gateway's lock is around it."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a+b")
        self.entries: list[Json] = []

    def load(self) -> list[Json]:
        """Return the stored entries, and cut off what a crash left of a last, unanswered request."""
        self._file.seek(0)
        whole: list[Json] = []
        pending: list[Json] = []
        good_until = position = 0
        for line in self._file:
            position += len(line)
            try:
                pending.append(json.loads(line))
            except ValueError:
                break
            if pending[-1]["kind"] == "request" and line.endswith(b"\n"):
                whole += pending
                pending = []
                good_until = position
        self._file.truncate(good_until)
        self.entries = [_public(entry) for entry in whole]
        return whole

    def append(self, entries: list[Json]) -> None:
        """Write the entries of one request, its ``request`` entry last, and flush them."""
        self._file.write(b"".join(json.dumps(entry).encode() + b"\n" for entry in entries))
        self._file.flush()
        self.entries += [_public(entry) for entry in entries]


def _public(entry: Json) -> Json:
    return {name: value for name, value in entry.items() if name not in {"changed", "stored"}}


class Gateway:
    """Payment intents, refunds and stored answers; ``handle`` may be called by many threads."""

    def __init__(self, journal: Path, now: Callable[[], datetime]) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._journal = Journal(journal)
        self._objects: dict[str, Json] = {}
        self._stored: dict[tuple[str, str], tuple[str, Answer]] = {}
        self._in_use: dict[tuple[str, str], str] = {}
        self._faults: list[Fault] = []
        for entry in self._journal.load():
            self._objects |= entry.get("changed", {})
            if stored := entry.get("stored"):
                answer = Answer(status=stored["status"], body=stored["body"])
                self._stored[stored["account"], entry["idempotency_key"]] = (stored["fingerprint"], answer)

    def entries(self) -> list[Json]:
        """Return the journal so far, oldest first."""
        with self._lock:
            return list(self._journal.entries)

    def order_fault(self, fault: Fault) -> None:
        """Put a fault behind those already waiting for the same operation."""
        with self._lock:
            self._faults.append(fault)

    def clear_faults(self) -> None:
        """Forget the faults that have not happened yet."""
        with self._lock:
            self._faults.clear()

    def handle(self, request: Request) -> Answer:
        """Answer a request, with the fault that was ordered for it. Raises ConnectionCut if the fault says so."""
        fault = self._next_fault(request.operation)
        mode = fault.mode if fault else None
        seconds = fault.seconds if fault else 0.0
        match mode:
            case Mode.REFUSE | Mode.TIMEOUT_BEFORE:
                self._note(request, _NO_ANSWER, mode)
                time.sleep(seconds if mode is Mode.TIMEOUT_BEFORE else 0)
                raise ConnectionCut
            case Mode.ERROR_500_BEFORE:
                return self._note(request, _internal_error(), mode)
        answer = self._answer_once(request, mode, seconds if mode is Mode.SLOW else 0.0)
        if mode in {Mode.TIMEOUT_AFTER, Mode.RESET_AFTER}:
            time.sleep(seconds if mode is Mode.TIMEOUT_AFTER else 0)
            raise ConnectionCut
        return answer

    def _next_fault(self, operation: Operation) -> Fault | None:
        with self._lock:
            for place, fault in enumerate(self._faults):
                if fault.operation is operation:
                    left = [replace(fault, times=fault.times - 1)] if fault.times > 1 else []
                    self._faults[place : place + 1] = left
                    return fault
        return None

    # | unknown ── request ──▶ in use ── executed ──▶ stored |  in use ── parameter refused ──▶ unknown |
    def _answer_once(self, request: Request, mode: Mode | None, delay_seconds: float) -> Answer:
        key = request.stored_under
        if key is not None:
            with self._lock:
                known = self._recall(key, request.fingerprint)
                if known is None:
                    self._in_use[key] = request.fingerprint
            if known is not None:
                return self._note(request, _internal_error() if mode is Mode.ERROR_500_AFTER else known, mode)
        try:
            time.sleep(delay_seconds)
            with self._lock:
                return self._execute(request, mode)
        finally:
            if key is not None:
                with self._lock:
                    del self._in_use[key]

    def _recall(self, key: tuple[str, str], fingerprint: str) -> Answer | None:
        """Return the answer that the key already has, be it a refusal to use it; None if the key is free."""
        first, answer = self._stored.get(key, (self._in_use.get(key, fingerprint), None))
        if first != fingerprint:
            return Refused(
                400,
                "Keys for idempotent requests can only be used with the same parameters they were first used with. "
                f"Try using a key other than '{key[1]}' if you meant to execute a different request.",
                kind="idempotency_error",
            ).answer
        if key in self._in_use:
            return Refused(
                409,
                "There is currently another in-progress request using this Idempotency-Key. Try again later, with the same key.",
                kind="idempotency_error",
                code="idempotency_key_in_use",
            ).answer
        return replace(answer, is_replayed=True) if answer else None

    def _execute(self, request: Request, mode: Mode | None) -> Answer:
        effects = Effects()
        is_stored = True
        try:
            answer = Answer(status=200, body=self._perform(request, effects))
        except Refused as refusal:
            answer = refusal.answer
            is_stored = refusal.is_stored
        closing = self._request_entry(request, answer, mode)
        if mode is Mode.ERROR_500_AFTER:
            answer, is_stored = _internal_error(), True
        closing |= {"status": answer.status, "changed": effects.changed}
        key = request.stored_under if is_stored else None
        if key is not None:
            closing["stored"] = {
                "account": request.account,
                "fingerprint": request.fingerprint,
                "status": answer.status,
                "body": answer.body,
            }
        self._journal.append([*effects.entries, closing])
        self._objects |= effects.changed
        if key is not None:
            self._stored[key] = (request.fingerprint, answer)
        return answer

    def _note(self, request: Request, answer: Answer, mode: Mode | None) -> Answer:
        """Write a request that executes nothing into the journal, and return its answer."""
        with self._lock:
            self._journal.append([self._request_entry(request, answer, mode)])
        return answer

    # ── operations, each under the lock; they change nothing but ``effects`` ──

    def _perform(self, request: Request, effects: Effects) -> Json:
        match request.operation:
            case Operation.CREATE:
                return self._create(request, effects)
            case Operation.CONFIRM:
                return self._confirm(request, self._find(request.target, "payment_intent"), effects)
            case Operation.CANCEL:
                return self._cancel(request, self._find(request.target, "payment_intent"), effects)
            case Operation.RETRIEVE:
                return self._find(request.target, "payment_intent")
            case Operation.LIST:
                return self._list(request)
            case Operation.REFUND:
                return self._refund(request, effects)
            case Operation.RETRIEVE_REFUND:
                return self._find(request.target, "refund")

    def _find(self, name: str, kind: str, status: int = 404) -> Json:
        found = self._objects.get(name)
        if found is None or found["object"] != kind:
            raise Refused(status, f"No such {kind}: '{name}'", code="resource_missing", param="id")
        return found

    def _create(self, request: Request, effects: Effects) -> Json:
        amount = _positive(request, "amount")
        currency = request.parameters.get("currency", "").lower()
        if not re.fullmatch(r"[a-z]{3}", currency):
            raise Refused(400, "Missing or invalid required param: currency.", code="parameter_missing", param="currency")
        card = _known_card(request)
        intent: Json = {
            "id": f"pi_{secrets.token_hex(12)}",
            "object": "payment_intent",
            "amount": amount,
            "amount_received": 0,
            "currency": currency,
            "created": int(self._now().timestamp()),
            "description": request.parameters.get("description"),
            "last_payment_error": None,
            "latest_charge": None,
            "livemode": False,
            "metadata": request.metadata,
            "payment_method": card,
            "payment_method_types": ["card"],
            "status": "requires_confirmation" if card else "requires_payment_method",
        }
        effects.entries.append(self._entry("created", request, intent))
        effects.changed[intent["id"]] = intent
        return self._confirm(request, intent, effects) if request.parameters.get("confirm") == "true" else intent

    def _confirm(self, request: Request, intent: Json, effects: Effects) -> Json:
        card = _known_card(request) or intent["payment_method"]
        if intent["status"] in {"succeeded", "canceled"}:
            raise _unexpected_state(intent, "confirm")
        if card is None:
            raise _unexpected_state(intent, "confirm", " because it is missing a payment method")
        charge = f"ch_{secrets.token_hex(12)}"
        if card in APPROVING_CARDS:
            captured = intent | {
                "status": "succeeded",
                "payment_method": card,
                "amount_received": intent["amount"],
                "latest_charge": charge,
                "last_payment_error": None,
            }
            effects.entries.append(self._entry("capture", request, captured))
            effects.changed[intent["id"]] = captured
            return captured
        code, decline_code, message = DECLINING_CARDS[card]
        problem = {
            "type": "card_error",
            "code": code,
            "decline_code": decline_code,
            "message": message,
            "charge": charge,
        }
        declined = intent | {
            "status": "requires_payment_method",
            "payment_method": None,
            "latest_charge": charge,
            "last_payment_error": problem,
        }
        effects.entries.append(self._entry("decline", request, declined) | {"code": code, "decline_code": decline_code})
        effects.changed[intent["id"]] = declined
        raise Refused(
            402,
            message,
            kind="card_error",
            is_stored=True,
            code=code,
            decline_code=decline_code,
            charge=charge,
            payment_intent=declined,
        )

    def _cancel(self, request: Request, intent: Json, effects: Effects) -> Json:
        if intent["status"] in {"succeeded", "canceled"}:
            raise _unexpected_state(intent, "cancel")
        canceled = intent | {
            "status": "canceled",
            "canceled_at": int(self._now().timestamp()),
            "cancellation_reason": request.parameters.get("cancellation_reason"),
        }
        effects.entries.append(self._entry("canceled", request, canceled))
        effects.changed[intent["id"]] = canceled
        return canceled

    def _list(self, request: Request) -> Json:
        limit = _positive(request, "limit") if "limit" in request.parameters else 10
        if limit > MOST_LISTED:
            raise Refused(400, f"limit must be at most {MOST_LISTED}.", code="parameter_invalid_integer", param="limit")
        newest_first = [found for found in reversed(self._objects.values()) if found["object"] == "payment_intent"]
        if after := request.parameters.get("starting_after"):
            self._find(after, "payment_intent", status=400)
            newest_first = newest_first[[found["id"] for found in newest_first].index(after) + 1 :]
        page = newest_first[:limit]
        return {"object": "list", "url": "/v1/payment_intents", "has_more": len(newest_first) > limit, "data": page}

    def _refund(self, request: Request, effects: Effects) -> Json:
        intent = self._refunded_intent(request)
        refunds = [found for found in self._objects.values() if found["object"] == "refund" and found["payment_intent"] == intent["id"]]
        left = intent["amount_received"] - sum(refund["amount"] for refund in refunds)
        if intent["status"] != "succeeded":
            raise _unexpected_state(intent, "refund")
        if left == 0:
            raise Refused(
                400,
                f"Charge {intent['latest_charge']} has already been refunded.",
                is_stored=True,
                code="charge_already_refunded",
            )
        amount = _positive(request, "amount") if "amount" in request.parameters else left
        if amount > left:
            raise Refused(
                400,
                f"Refund amount ({amount}) is greater than unrefunded amount on charge ({left}).",
                is_stored=True,
                param="amount",
            )
        refund: Json = {
            "id": f"re_{secrets.token_hex(12)}",
            "object": "refund",
            "amount": amount,
            "charge": intent["latest_charge"],
            "created": int(self._now().timestamp()),
            "currency": intent["currency"],
            "metadata": request.metadata,
            "payment_intent": intent["id"],
            "reason": request.parameters.get("reason"),
            "status": "succeeded",
        }
        effects.entries.append(self._entry("refund", request, intent) | {"amount": amount, "refund": refund["id"]})
        effects.changed[refund["id"]] = refund
        return refund

    def _refunded_intent(self, request: Request) -> Json:
        if name := request.parameters.get("payment_intent"):
            return self._find(name, "payment_intent")
        charge = request.parameters.get("charge")
        for found in self._objects.values():
            if charge and found.get("latest_charge") == charge:
                return found
        raise Refused(400, f"No such charge: '{charge}'", code="resource_missing", param="charge")

    # ── entries ──

    def _entry(self, kind: str, request: Request, intent: Json) -> Json:
        return {
            "kind": kind,
            "at": self._now().isoformat(),
            "intent": intent.get("id"),
            "amount": intent.get("amount"),
            "currency": intent.get("currency"),
            "payment_id": intent.get("metadata", {}).get("payment_id"),
            "idempotency_key": request.idempotency_key,
        }

    def _request_entry(self, request: Request, answer: Answer, mode: Mode | None) -> Json:
        body = answer.body.get("error", {}).get("payment_intent") or answer.body
        intent = (
            body if body.get("object") == "payment_intent" else self._objects.get(str(body.get("payment_intent") or request.target), {})
        )
        return self._entry("request", request, intent) | {
            "operation": request.operation,
            "method": request.method,
            "path": request.path,
            "status": answer.status,
            "is_replayed": answer.is_replayed,
            "fault": mode,
        }


def _positive(request: Request, name: str) -> int:
    text = request.parameters.get(name, "")
    if not text:
        raise Refused(400, f"Missing required param: {name}.", code="parameter_missing", param=name)
    if not re.fullmatch(r"[0-9]{1,12}", text) or int(text) < 1:
        raise Refused(400, f"Invalid integer: {text}", code="parameter_invalid_integer", param=name)
    return int(text)


def _known_card(request: Request) -> str | None:
    card = request.parameters.get("payment_method")
    if card is not None and card not in APPROVING_CARDS and card not in DECLINING_CARDS:
        raise Refused(400, f"No such PaymentMethod: '{card}'", code="resource_missing", param="payment_method")
    return card


def _unexpected_state(intent: Json, verb: str, why: str = "") -> Refused:
    reason = why or f" because it has a status of {intent['status']}"
    return Refused(
        400,
        f"You cannot {verb} this PaymentIntent{reason}.",
        is_stored=True,
        code="payment_intent_unexpected_state",
        payment_intent=intent,
    )


def _internal_error() -> Answer:
    return Answer(
        status=500,
        body={"error": {"type": "api_error", "message": "An error occurred on our side (an ordered fault)."}},
    )


# ── HTTP ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


class _Server(socketserver.ThreadingTCPServer):
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
    server: _Server

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


def main() -> None:
    """Serve payments until a signal ends it."""
    parser = argparse.ArgumentParser(description="A payment gateway on a laptop, in Stripe's dialect.")
    parser.add_argument("--port", type=int, default=0, help="0 chooses a free port")
    parser.add_argument("--journal", type=Path, required=True, help="the file that remembers everything (JSON lines)")
    arguments = parser.parse_args()
    serve(_Server(arguments.port, Gateway(arguments.journal, now=lambda: datetime.now(UTC))))


if __name__ == "__main__":
    main()
