"""AWS's Signature Version 4, for requests that differ in nothing but operation, body and time."""

import hashlib
import hmac
import time
from typing import Protocol
from urllib.parse import quote, urlsplit

_DEFAULT_PORTS = {"http": 80, "https": 443}
_CONTENT_TYPE = "application/x-amz-json-1.0"
_SIGNED = "content-type;host;x-amz-date;x-amz-target"
_SIGNED_WITH_TOKEN = "content-type;host;x-amz-date;x-amz-security-token;x-amz-target"  # noqa: S105 — names of headers
#: SQS is asked for the old names of its errors beside the new ones, as botocore does: handlers are written against those.
_ASKED_FOR_OLD_NAMES = frozenset({"sqs"})


class Credentials(Protocol):
    """botocore's frozen credentials."""

    @property
    def access_key(self) -> str: ...
    @property
    def secret_key(self) -> str: ...
    @property
    def token(self) -> str | None: ...


class Signer:
    """Makes the headers of signed requests to one address. Threads may share it: what it remembers is replaced whole."""

    def __init__(self, *, url: str, region: str, service: str) -> None:
        parts = urlsplit(url)
        host = parts.hostname or ""
        if ":" in host:
            host = f"[{host}]"
        if parts.port is not None and parts.port != _DEFAULT_PORTS.get(parts.scheme):
            host = f"{host}:{parts.port}"
        self._host = host
        self._path = quote(parts.path or "/", safe="/~")
        self._region = region
        self._service = service
        self._asks_for_old_names = service in _ASKED_FOR_OLD_NAMES
        more = ";x-amzn-query-mode" if self._asks_for_old_names else ""
        self._signed = (_SIGNED + more, _SIGNED_WITH_TOKEN + more)
        self._more = "x-amzn-query-mode:true\n" if self._asks_for_old_names else ""
        self._moment = (-1, "")
        self._key: tuple[tuple[str, str, str], bytes, str] = (("", "", ""), b"", "")

    def headers(self, target: str, body: bytes, credentials: Credentials, at: float) -> list[str]:
        """Every header that AWS's JSON protocol wants, for the operation ``target`` at the Unix time ``at``."""
        moment = self._moment_of(int(at))
        key, scope = self._key_of(credentials, moment[:8])
        token = credentials.token
        signed = self._signed[bool(token)]
        canonical = (
            f"POST\n{self._path}\n\ncontent-type:{_CONTENT_TYPE}\nhost:{self._host}\nx-amz-date:{moment}\n"
            f"{f'x-amz-security-token:{token}{chr(10)}' if token else ''}"
            f"x-amz-target:{target}\n{self._more}\n{signed}\n{hashlib.sha256(body).hexdigest()}"
        )
        text = f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
        signature = hmac.digest(key, text.encode(), "sha256").hex()
        headers = [
            f"Content-Type: {_CONTENT_TYPE}",
            f"X-Amz-Date: {moment}",
            f"X-Amz-Target: {target}",
            f"Authorization: AWS4-HMAC-SHA256 Credential={credentials.access_key}/{scope}, SignedHeaders={signed}, Signature={signature}",
        ]
        if self._asks_for_old_names:
            headers.append("x-amzn-query-mode: true")
        if token:
            headers.append(f"X-Amz-Security-Token: {token}")
        return headers

    def _moment_of(self, second: int) -> str:
        remembered, moment = self._moment
        if remembered != second:
            moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(second))
            self._moment = (second, moment)
        return moment

    def _key_of(self, credentials: Credentials, day: str) -> tuple[bytes, str]:
        identity = (credentials.access_key, credentials.secret_key, day)
        remembered, key, scope = self._key
        if remembered != identity:
            key = f"AWS4{credentials.secret_key}".encode()
            for part in (day, self._region, self._service, "aws4_request"):
                key = hmac.digest(key, part.encode(), "sha256")
            scope = f"{day}/{self._region}/{self._service}/aws4_request"
            self._key = (identity, key, scope)
        return key, scope
