"""The gateway itself: one request in, its fault or its answer out, and nothing answered that is not in the journal."""

import threading
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from scripts.laptop.gateway.faults import ConnectionCut, Fault, Faults, Mode, internal_error
from scripts.laptop.gateway.idempotency import IdempotencyKeys
from scripts.laptop.gateway.intents import INTENT, Intents
from scripts.laptop.gateway.journal import Effects, Journal, entry_of
from scripts.laptop.gateway.messages import Answer, Json, Operation, Refused, Request
from scripts.laptop.gateway.objects import Objects
from scripts.laptop.gateway.refunds import Refunds

_NO_ANSWER = Answer(status=0, body={})


class Gateway:
    """Payment intents, refunds and stored answers; ``handle`` may be called by many threads."""

    def __init__(self, journal: Path, now: Callable[[], datetime]) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._journal = Journal(journal)
        self._objects = Objects()
        self._intents = Intents(self._objects, now)
        self._refunds = Refunds(self._objects, self._intents, now)
        self._keys = IdempotencyKeys()
        self._faults = Faults()
        for entry in self._journal.load():
            self._objects.change(entry.get("changed", {}))
            if stored := entry.get("stored"):
                answer = Answer(status=stored["status"], body=stored["body"])
                self._keys.store((stored["account"], entry["idempotency_key"]), stored["fingerprint"], answer)

    def entries(self) -> list[Json]:
        """Return the journal so far, oldest first."""
        with self._lock:
            return list(self._journal.entries)

    def order_fault(self, fault: Fault) -> None:
        """Put a fault behind those already waiting for the same operation."""
        with self._lock:
            self._faults.order(fault)

    def clear_faults(self) -> None:
        """Forget the faults that have not happened yet."""
        with self._lock:
            self._faults.clear()

    def handle(self, request: Request) -> Answer:
        """Answer a request, with the fault that was ordered for it. Raises ConnectionCut if the fault says so."""
        with self._lock:
            fault = self._faults.take(request.operation)
        mode = fault.mode if fault else None
        seconds = fault.seconds if fault else 0.0
        match mode:
            case Mode.REFUSE | Mode.TIMEOUT_BEFORE:
                self._note(request, _NO_ANSWER, mode)
                time.sleep(seconds if mode is Mode.TIMEOUT_BEFORE else 0)
                raise ConnectionCut
            case Mode.ERROR_500_BEFORE:
                return self._note(request, internal_error(), mode)
        answer = self._answer_once(request, mode, seconds if mode is Mode.SLOW else 0.0)
        if mode in {Mode.TIMEOUT_AFTER, Mode.RESET_AFTER}:
            time.sleep(seconds if mode is Mode.TIMEOUT_AFTER else 0)
            raise ConnectionCut
        return answer

    def _answer_once(self, request: Request, mode: Mode | None, delay_seconds: float) -> Answer:
        key = request.stored_under
        if key is not None:
            with self._lock:
                known = self._keys.recall(key, request.fingerprint)
                if known is None:
                    self._keys.claim(key, request.fingerprint)
            if known is not None:
                return self._note(request, internal_error() if mode is Mode.ERROR_500_AFTER else known, mode)
        try:
            time.sleep(delay_seconds)
            with self._lock:
                return self._execute(request, mode)
        finally:
            if key is not None:
                with self._lock:
                    self._keys.release(key)

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
            answer, is_stored = internal_error(), True
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
        self._objects.change(effects.changed)
        if key is not None:
            self._keys.store(key, request.fingerprint, answer)
        return answer

    def _note(self, request: Request, answer: Answer, mode: Mode | None) -> Answer:
        """Write a request that executes nothing into the journal, and return its answer."""
        with self._lock:
            self._journal.append([self._request_entry(request, answer, mode)])
        return answer

    def _perform(self, request: Request, effects: Effects) -> Json:
        match request.operation:
            case Operation.CREATE:
                return self._intents.create(request, effects)
            case Operation.CONFIRM:
                return self._intents.confirm(request, self._intents.find(request.target), effects)
            case Operation.CANCEL:
                return self._intents.cancel(request, self._intents.find(request.target), effects)
            case Operation.RETRIEVE:
                return self._intents.find(request.target)
            case Operation.LIST:
                return self._intents.page(request)
            case Operation.REFUND:
                return self._refunds.create(request, effects)
            case Operation.RETRIEVE_REFUND:
                return self._refunds.find(request.target)
            case Operation.LIST_REFUNDS:
                return self._refunds.page(request)

    def _request_entry(self, request: Request, answer: Answer, mode: Mode | None) -> Json:
        body = answer.body.get("error", {}).get("payment_intent") or answer.body
        intent = body if body.get("object") == INTENT else self._objects.get(str(body.get("payment_intent") or request.target))
        return entry_of("request", request, intent, self._now()) | {
            "operation": request.operation,
            "method": request.method,
            "path": request.path,
            "status": answer.status,
            "is_replayed": answer.is_replayed,
            "fault": mode,
        }
