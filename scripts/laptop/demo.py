"""A shop's morning in seconds, through the public API: what a customer's program could do, and what must then be true."""

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any

_ANSWER_WITHIN = timedelta(seconds=15)
_LOOK_EVERY = timedelta(milliseconds=100)


class DemoFailed(RuntimeError):
    """Raised when a journey cannot go on. The message says what was expected and what came."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: Any


@dataclass(kw_only=True, slots=True)
class Shop:
    """The running platform, as its customers' programs and its gateway's books show it."""

    web: str
    gateway: str
    partner: str
    token: str
    mail_directory: Path
    environment: Mapping[str, str]
    """Of a command at the terminal."""
    repository: Path
    doing: str = "opening the shop"
    """What is going on, for the progress line."""

    def get(self, path: str) -> Answer:
        return _call("GET", self.web + path, None, {"Authorization": f"Bearer {self.token}"})

    def items(self, path: str) -> list[dict[str, Any]]:
        """Of a list of the API. Raises :class:`DemoFailed` if it answers something else."""
        answer = self.get(path)
        if answer.status != HTTPStatus.OK:
            raise DemoFailed(f"GET {path}: expected 200, got {answer.status}: {answer.body}")
        found: list[dict[str, Any]] = answer.body["items"]
        return found

    def post(self, path: str, body: Mapping[str, Any], *, idempotency_key: str) -> Answer:
        return _call("POST", self.web + path, body, {"Authorization": f"Bearer {self.token}", "Idempotency-Key": idempotency_key})

    def put(self, path: str, body: Mapping[str, Any]) -> Answer:
        return _call("PUT", self.web + path, body, {"Authorization": f"Bearer {self.token}"})

    def delete(self, path: str) -> Answer:
        return _call("DELETE", self.web + path, None, {"Authorization": f"Bearer {self.token}"})

    def post_file(self, path: str, name: str, content: bytes, *, idempotency_key: str) -> Answer:
        """The one file of a form, as a browser sends it."""
        boundary = uuid.uuid4().hex
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'
        form = head.encode() + content + f"\r\n--{boundary}--\r\n".encode()
        headers = {"Content-Type": f"multipart/form-data; boundary={boundary}", "Idempotency-Key": idempotency_key}
        return _call("POST", self.web + path, form, {"Authorization": f"Bearer {self.token}", **headers})

    def download(self, path: str) -> bytes:
        """A file; the token does not follow a redirection into the storage."""
        request = urllib.request.Request(self.web + path, headers={"Authorization": f"Bearer {self.token}"})  # noqa: S310 — our own address
        try:
            with urllib.request.build_opener(_WithoutToken).open(request, timeout=_ANSWER_WITHIN.total_seconds()) as answer:
                content: bytes = answer.read()
        except OSError as error:
            raise DemoFailed(f"GET {self.web}{path} got no usable answer: {error}") from error
        return content

    def manage(self, *arguments: str) -> None:
        """One of Django's commands, as by ``scripts/manage``."""
        done = subprocess.run(
            [sys.executable, "-m", "app.manage", *arguments],
            env=dict(self.environment),
            cwd=self.repository,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise DemoFailed(f"manage {' '.join(arguments)} ended with status {done.returncode}: {done.stderr[-500:]}")

    def order_fault(self, **fault: Any) -> None:
        """Make the gateway's next call of an operation go wrong."""
        _order_fault(self.gateway, fault)

    def journal(self) -> list[dict[str, Any]]:
        """Everything that the gateway has been asked and has done."""
        entries: list[dict[str, Any]] = _call("GET", f"{self.gateway}/_journal", None, {}).body
        return entries

    def order_partner_fault(self, **fault: Any) -> None:
        """Make the partner's next answer to an operation go wrong."""
        _order_fault(self.partner, fault)

    def partner_journal(self) -> list[dict[str, Any]]:
        """Everything that the partner has been asked in this session."""
        entries: list[dict[str, Any]] = _call("GET", f"{self.partner}/_journal", None, {}).body
        return entries

    def wait_until(self, is_true: Callable[[], bool], what: Callable[[], str], within: timedelta) -> bool:
        """Look until the claim holds; False if it does not within the time."""
        deadline = time.monotonic() + within.total_seconds()
        while not is_true():
            self.doing = what()
            if time.monotonic() > deadline:
                return False
            time.sleep(_LOOK_EVERY.total_seconds())
        return True


@dataclass(kw_only=True, slots=True)
class Story:
    """What a journey has to tell: a table, and what was not as it must be."""

    title: str
    columns: Sequence[str]
    right: frozenset[str] = frozenset()
    """Columns of numbers."""
    rows: list[Sequence[str]] = field(default_factory=list)
    proven: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    checked: int = 0

    def expect(self, is_so: bool, problem: str) -> None:
        self.checked += 1
        if not is_so:
            self.problems.append(problem)


class _WithoutToken(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *told: Any, **options: Any) -> urllib.request.Request | None:
        request = super().redirect_request(*told, **options)
        if request is not None:
            request.remove_header("Authorization")
        return request


def _order_fault(server: str, fault: Mapping[str, Any]) -> None:
    ordered = _call("POST", f"{server}/_faults", fault, {})
    if ordered.status != HTTPStatus.OK:
        raise DemoFailed(f"{server} refused the fault {fault}: {ordered.body}")


def _call(method: str, url: str, body: Mapping[str, Any] | bytes | None, headers: Mapping[str, str]) -> Answer:
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, method=method, headers={"Content-Type": "application/json", **headers})  # noqa: S310 — our own address
    try:
        try:
            with urllib.request.urlopen(request, timeout=_ANSWER_WITHIN.total_seconds()) as answer:  # noqa: S310
                return Answer(status=answer.status, headers=dict(answer.headers), body=json.loads(answer.read() or b"null"))
        except urllib.error.HTTPError as refused:
            return Answer(status=refused.code, headers=dict(refused.headers), body=_read_leniently(refused.read()))
    except (OSError, ValueError) as error:
        raise DemoFailed(f"{method} {url} got no usable answer: {error}") from error


def _read_leniently(text: bytes) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text.decode(errors="replace")[:500]
