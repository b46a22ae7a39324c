"""The texts of a message, and the JSON in them: read without harm, however large, deep or slow it was made to be.

Raises nothing but :class:`~app.engine.broker.refusals.Refused`, and ``MemoryError``.
"""

import base64
import json
import re
from itertools import accumulate
from typing import Any

from kombu.utils.json import object_hook

from app.engine.broker.refusals import Reason, Refused

LARGEST_BODY_BYTES = 1024 * 1024
"""SQS's own limit; what came through a claim check may be larger."""
DEEPEST = 64
"""Brackets within brackets. The parser's limit is the C stack of whoever calls it."""


def _kombu_value(decoded: dict[str, Any]) -> Any:
    """As kombu does in the worker and in its children: what it makes of ``__type__`` is what counts."""
    value = object_hook(decoded)
    if value is not decoded:
        # kombu makes a UUID of a fraction, which then fails wherever somebody prints it.
        repr(value)
    return value


_DECODER = json.JSONDecoder(object_hook=_kombu_value)
#: Possessive and without a mandatory end: linear, whatever the text is.
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[{]}"))


def outer_text(body: str) -> str:
    # A character is at least a byte, and nearly every body is ASCII: neither needs a copy.
    if len(body) > LARGEST_BODY_BYTES or (not body.isascii() and len(body.encode("utf-8", "surrogatepass")) > LARGEST_BODY_BYTES):
        raise Refused("too-large", f"The message is larger than {LARGEST_BODY_BYTES} bytes.")
    text = body.strip()
    if text.startswith("{"):
        return text
    try:
        return base64.b64decode(text, validate=True).decode()
    except ValueError as error:
        raise Refused("not-json", "The message is neither a JSON object nor one in base64.") from error


def inner_text(body: str, encoding: str | None) -> str:
    try:
        if encoding == "base64":
            return base64.b64decode(body, validate=True).decode()
        # kombu makes bytes of it: half a surrogate pair, which JSON can spell, has none.
        body.encode()
    except ValueError as error:
        raise Refused("bad-body", f"The inner body is not {'base64 of ' if encoding == 'base64' else ''}UTF-8.") from error
    return body


def load(text: str, reason: Reason, what: str) -> Any:
    if text.count("[") + text.count("{") > DEEPEST and _depth(text) > DEEPEST:
        raise Refused("too-deep", f"{what} has more than {DEEPEST} brackets within brackets.")
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise Refused(reason, f"{what} is not JSON: {error.msg} at character {error.pos}.") from error
    except MemoryError:
        raise
    except Exception as error:  # kombu's types, and those that others have registered, raise what they like
        raise Refused(reason, f"{what} holds a value that cannot be decoded: {type(error).__name__}.") from error


def _depth(text: str) -> int:
    """How deep brackets nest outside strings, or more, if it is not JSON. Linear, and without a loop in Python."""
    brackets = _STRING.sub(b"", text.encode("utf-8", "surrogatepass")).translate(_STEPS, _NOT_BRACKETS)
    return max(accumulate(memoryview(brackets).cast("b")), default=0)
