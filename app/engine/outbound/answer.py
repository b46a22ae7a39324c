"""What a server said, unpacked within bounds."""

import json
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from app.engine.outbound.errors import AnswerUnusable

#: zlib's word for: gzip or zlib, as the first bytes say.
_ANY_FORMAT = zlib.MAX_WBITS | 32
_PACKED = frozenset({"gzip", "x-gzip", "deflate"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes
    url: str
    """Where it came from, after redirects."""

    @property
    def is_success(self) -> bool:
        return HTTPStatus.OK <= self.status < HTTPStatus.MULTIPLE_CHOICES

    @property
    def is_partners_failure(self) -> bool:
        """Whether the server is the one in trouble: 5xx and 429. What it merely does not want, 4xx, is an answer."""
        return self.status >= HTTPStatus.INTERNAL_SERVER_ERROR or self.status == HTTPStatus.TOO_MANY_REQUESTS

    def json(self) -> Any:
        """Raises :class:`AnswerUnusable`."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError) as error:
            raise AnswerUnusable(f"The answer of {self.status} is no JSON.") from error


def unpacked(pieces: Iterable[bytes], encoding: str, largest: int) -> bytes:
    """The body, of at most ``largest`` bytes; what would be more is never made. Raises :class:`AnswerUnusable`."""
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        return _collected(pieces, largest)
    if encoding not in _PACKED:
        raise AnswerUnusable(f"The answer is packed as {encoding[:50]!r}; expected gzip, deflate or nothing.")
    return _inflated(pieces, largest)


def _collected(pieces: Iterable[bytes], largest: int) -> bytes:
    body = bytearray()
    for piece in pieces:
        body += piece
        if len(body) > largest:
            raise _too_large(largest)
    return bytes(body)


def _inflated(pieces: Iterable[bytes], largest: int) -> bytes:
    body = bytearray()
    inflater = zlib.decompressobj(_ANY_FORMAT)
    try:
        for piece in pieces:
            # One byte more than may be: to know that there is more.
            body += inflater.decompress(piece, largest + 1 - len(body))
            if len(body) > largest or inflater.unconsumed_tail:
                raise _too_large(largest)
    except zlib.error as error:
        raise AnswerUnusable("The answer is packed, and cannot be unpacked.") from error
    if not inflater.eof and body:
        raise AnswerUnusable("The answer is packed, and its end is missing.")
    return bytes(body)


def _too_large(largest: int) -> AnswerUnusable:
    return AnswerUnusable(f"The answer is larger than {largest:,} bytes. It was cut off.")
