"""What a message must be before kombu and Celery may see it.

Celery believes a message that it can read: one of the wrong shape ends the worker's main process, or stays in its queue for
ever. Here each is looked at on its own, and what fails says why, so that it can go to the dead letters with a reason.

    body ──size──▶ text ──depth──▶ envelope ──types, due time──▶ Inspected
                                      └─ inner body ──depth──▶ args, kwargs, callbacks ──▶ fit the task

Whatever a stock Celery (5.2 or later, task protocol 2, JSON) sends passes. Nothing but :class:`Refused` and
:class:`UnknownTask` is raised, whatever the bytes are.
"""

import base64
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import accumulate
from typing import Any, Literal

from celery.app.task import Context
from celery.canvas import Signature
from celery.utils.time import maybe_iso8601
from kombu.utils.json import object_hook

from app.engine.errors import EngineError, PermanentError

LARGEST_BODY_BYTES = 1024 * 1024
"""SQS's own limit; what came through a claim check may be larger."""
DEEPEST = 64
"""Brackets within brackets. The parser's limit is the C stack of whoever calls it."""
LONGEST_ID = 255
MOST_RETRIES = 1_000_000
"""The exponential backoff computes ``2 ** retries``."""
LONGEST_TIME_LIMIT_SECONDS = 2**31
LONGEST_MOMENT = 64
LATEST = datetime(9999, 1, 1, tzinfo=UTC).timestamp()
"""Nearer to the end of the calendar, conversions between time zones overflow."""
LONGEST_DETAIL = 300

Reason = Literal[
    "too-large",
    "not-json",
    "too-deep",
    "envelope",
    "protocol-1",
    "content-type",
    "content-encoding",
    "compressed",
    "bad-header",
    "bad-retries",
    "bad-time-limit",
    "bad-eta",
    "bad-expires",
    "bad-body",
    "bad-callbacks",
    "bad-arguments",
    "claim-check",
]


class Refused(PermanentError):
    """A message that would hurt the worker, or that no worker could ever run."""

    def __init__(self, reason: Reason, detail: str) -> None:
        # What a producer chose, the name of a keyword argument, can be part of it: it must fit everywhere and break no log line.
        detail = detail.encode("ascii", "backslashreplace").decode()
        super().__init__(reason, detail if len(detail) <= LONGEST_DETAIL else detail[: LONGEST_DETAIL - 3] + "...")

    @property
    def reason(self) -> Reason:
        """For programs."""
        reason: Reason = self.args[0]
        return reason

    @property
    def detail(self) -> str:
        """For people: one sentence of at most 300 characters. Never the payload, which may hold anything."""
        return str(self.args[1])

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}"


class UnknownTask(EngineError):
    """A good envelope for a task that this worker does not have; a newer or an older one may."""

    def __init__(self, task: str) -> None:
        super().__init__(task)
        self.task = task


@dataclass(frozen=True, kw_only=True, slots=True)
class Inspected:
    """A message whose envelope does no harm. Of its inner body nothing is known before :func:`inspect_arguments`."""

    payload: dict[str, Any]
    """The envelope as kombu wants it. Where it was received stands in it, not what it said about that itself."""
    task: str
    id: str
    retries: int
    eta: float | None
    """POSIX seconds."""
    expires: float | None
    """POSIX seconds; may have passed."""
    time_limit: float | None
    """The hard limit that the sender asked for, in seconds."""
    claim_check: dict[str, Any] | None
    """Where the inner body is, if it is not in the message."""


def inspect(body: str, *, queue: str, tasks: Mapping[str, Any], now: float, latest_eta_seconds: float) -> Inspected:
    """Both halves, for a message that carries its inner body. Raises :class:`Refused` and :class:`UnknownTask`."""
    inspected = inspect_envelope(body, queue=queue, now=now, latest_eta_seconds=latest_eta_seconds)
    inspect_arguments(inspected, tasks)
    return inspected


def inspect_envelope(body: str, *, queue: str, now: float, latest_eta_seconds: float) -> Inspected:
    """Everything but the inner body. ``body`` is SQS's, ``queue`` the name of the queue that it was received from."""
    payload = _load(_outer_text(body), "not-json", "The message")
    if not isinstance(payload, dict):
        raise Refused("not-json", "The message is not a JSON object, as Celery's are.")
    headers, properties = _parts(payload)
    for name, value in headers.items():
        # Most headers of most messages are null, which is the same as absent, unless it replaces a method.
        if (value is not None or name in _METHODS) and (check := _HEADERS.get(name)) is not None:
            check(name, value)
    for name in ("retries", "replaced_task_nesting"):
        if headers.get(name, 0) is None:
            del headers[name]  # Celery adds 1 to it, and its default is 0
    if headers["task"] is None or headers.get("id") is None:
        raise Refused("bad-header", "The headers 'task' and 'id' must be there.")
    timelimit = headers.get("timelimit")
    # Trust the queue that it came from: a redriven or renamed one is not what the envelope remembers.
    properties["delivery_info"] = {"exchange": "", "routing_key": queue}
    properties.pop("delivery_tag", None)
    return Inspected(
        payload=payload,
        task=headers["task"],
        id=headers["id"],
        retries=headers.get("retries", 0),
        eta=_moment("bad-eta", "eta", headers.get("eta"), min(now + latest_eta_seconds, LATEST)),
        expires=_moment("bad-expires", "expires", headers.get("expires"), LATEST),
        time_limit=float(timelimit[0]) if timelimit and timelimit[0] else None,
        claim_check=headers.get("claim_check"),
    )


def inspect_arguments(inspected: Inspected, tasks: Mapping[str, Any]) -> list[Any]:
    """The inner body, as it stands in the payload now; returns it decoded: ``[args, kwargs, embed]``.

    ``tasks`` is Celery's registry. Of an unknown task the body is not even looked at: it is for a worker that knows it.
    """
    task = tasks.get(inspected.task)
    if task is None:
        raise UnknownTask(inspected.task)
    payload = inspected.payload
    body = _load(_inner_text(payload["body"], payload["properties"].get("body_encoding")), "bad-body", "The inner body")
    match body:
        case [list() as args, dict() as kwargs, dict() as embed]:
            pass
        case _:
            raise Refused("bad-body", "The inner body is not [arguments, keyword arguments, embedded signatures].")
    for name, value in embed.items():
        if name in _EMBEDDED:
            _EMBEDDED[name](name, value)
        elif name in _HEADERS:
            # Celery lays these over the headers, unchecked.
            raise Refused("bad-body", f"The inner body repeats the header {name!r}.")
    # As Task.apply_async does before it sends.
    header = getattr(task, "__header__", None) if getattr(task, "typing", False) else None
    if header is not None:
        try:
            header(*args, **kwargs)
        except TypeError as error:
            raise Refused("bad-arguments", f"The arguments do not fit the task: {error}.") from error
    return [args, kwargs, embed]


# -- text and JSON ------------------------------------------------------------------------------------------------------


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


def _outer_text(body: str) -> str:
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


def _inner_text(body: str, encoding: str | None) -> str:
    try:
        if encoding == "base64":
            return base64.b64decode(body, validate=True).decode()
        # kombu makes bytes of it: half a surrogate pair, which JSON can spell, has none.
        body.encode()
    except ValueError as error:
        raise Refused("bad-body", f"The inner body is not {'base64 of ' if encoding == 'base64' else ''}UTF-8.") from error
    return body


def _load(text: str, reason: Reason, what: str) -> Any:
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


# -- the envelope -------------------------------------------------------------------------------------------------------


def _parts(payload: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Headers and properties, of an envelope whose other parts are as they must be."""
    headers, properties = payload.get("headers"), payload.get("properties")
    if not isinstance(properties, dict) or not isinstance(properties.get("delivery_info", {}), dict):
        raise Refused("envelope", "The message has no 'properties', or they are not what kombu writes.")
    if not isinstance(payload.get("body"), str):
        raise Refused("envelope", "The message has no 'body', or it is not text.")
    encoding = properties.get("body_encoding")
    if encoding is not None and encoding not in ("base64", "utf-8"):
        raise Refused("envelope", "The inner body must be encoded as base64 or utf-8.")
    if not isinstance(headers, dict) or "task" not in headers:
        if _is_protocol_1(payload, properties):
            raise Refused("protocol-1", "Only task protocol 2 is understood: set task_protocol = 2, Celery's default, in the sender.")
        raise Refused("envelope", "The message has no 'headers' that name a task.")
    if payload.get("content-type") != "application/json":
        raise Refused("content-type", "Only application/json is read: set task_serializer = 'json' in the sender.")
    charset = payload.get("content-encoding") or "utf-8"
    if not isinstance(charset, str) or charset.lower() != "utf-8":
        raise Refused("content-encoding", "Only utf-8 is read.")
    for name, check in _PROPERTIES.items():
        if (value := properties.get(name)) is not None:
            check(name, value)
    return headers, properties


def _is_protocol_1(payload: dict[str, Any], properties: dict[str, Any]) -> bool:
    try:
        body = _load(_inner_text(payload["body"], properties.get("body_encoding")), "bad-body", "The inner body")
    except Refused:
        return False
    return isinstance(body, dict) and "task" in body


#: What ``datetime.isoformat`` writes, which is what Celery sends. Celery's parser takes more, and a hundred times as long.
_USUAL_MOMENT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{6})?(?:[+-][0-9]{2}:[0-9]{2})?", re.ASCII)


def _moment(reason: Reason, name: str, value: object, latest: float) -> float | None:
    if value is None:
        return None
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST_MOMENT:
        raise Refused(reason, f"The header {name!r} is not a time in ISO 8601.")
    try:
        moment = datetime.fromisoformat(value) if _USUAL_MOMENT.fullmatch(value) else maybe_iso8601(value)
        # Celery takes a time without a zone for UTC.
        seconds = (moment if moment.utcoffset() is not None else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError, TypeError, AttributeError) as error:
        raise Refused(reason, f"The header {name!r} is not a time in ISO 8601.") from error
    if not 0 <= seconds <= latest:
        raise Refused(reason, f"The header {name!r} is before 1970 or too far in the future.")
    return float(seconds)


# -- one value ----------------------------------------------------------------------------------------------------------
# Each check gets a name and a value that is not null, and raises Refused.

_Check = Callable[[str, Any], None]


def _name(name: str, value: object) -> None:
    if not value or not _is_identity(value):
        raise Refused("bad-header", f"{name!r} is not a text of 1 to {LONGEST_ID} printable characters.")


def _is_identity(value: object) -> bool:
    # Printable leaves out half surrogate pairs, which no store takes, and line ends, which forge log lines.
    return isinstance(value, str) and len(value) <= LONGEST_ID and value.isprintable()


def _identity(name: str, value: object) -> None:
    if not _is_identity(value):
        raise Refused("bad-header", f"{name!r} is not a text of at most {LONGEST_ID} printable characters.")


def _words(name: str, value: object) -> None:
    if not isinstance(value, str) or not (value.isascii() or _is_encodable(value)):
        raise Refused("bad-header", f"{name!r} is not a text.")


def _is_encodable(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _whole_number(name: str, value: object) -> None:
    # Numbers are compared and never computed with before that: an integer of 4,000 digits fits no float.
    if type(value) is not int or abs(value) > 2**53:
        raise Refused("bad-header", f"{name!r} is not a whole number of a usual size.")


def _retries(name: str, value: object) -> None:
    if type(value) is not int or not 0 <= value <= MOST_RETRIES:
        raise Refused("bad-retries", f"{name!r} is not a whole number from 0 to {MOST_RETRIES}.")


def _flag(name: str, value: object) -> None:
    if type(value) is not bool:
        raise Refused("bad-header", f"{name!r} is neither true nor false.")


def _is_time_limit(value: object) -> bool:
    return value is None or ((type(value) is int or type(value) is float) and 0 <= value <= LONGEST_TIME_LIMIT_SECONDS)


def _time_limits(name: str, value: object) -> None:
    if not isinstance(value, list) or len(value) != 2 or not _is_time_limit(value[0]) or not _is_time_limit(value[1]):  # noqa: PLR2004 — hard, soft
        raise Refused("bad-time-limit", f"{name!r} is not a pair of seconds, at most {LONGEST_TIME_LIMIT_SECONDS}, either of them null.")


def _time_limit(name: str, value: object) -> None:
    if not _is_time_limit(value):
        raise Refused("bad-time-limit", f"{name!r} is not a number of seconds, at most {LONGEST_TIME_LIMIT_SECONDS}.")


def _mapping(name: str, value: object) -> None:
    if not isinstance(value, dict):
        raise Refused("bad-header", f"{name!r} is not an object.")


def _list_of_words(name: str, value: object) -> None:
    if not isinstance(value, list):
        raise Refused("bad-header", f"{name!r} is not a list.")
    for each in value:
        _words(name, each)


def _absent(name: str, _value: object) -> None:
    raise Refused("bad-header", f"The header {name!r} would replace what Celery itself keeps under that name.")


def _not_compressed(_name: str, value: object) -> None:
    if value:
        # Stock workers unpack whatever it unpacks to: 150 MB of zeros fit into 200 kB.
        raise Refused("compressed", "Compressed bodies are not read: leave out task_compression, and use a claim check for large ones.")


def _anything(_name: str, _value: object) -> None:
    """Replaced or never read by Celery."""


# -- signatures ---------------------------------------------------------------------------------------------------------


def _signature(name: str, value: object) -> None:
    """What callbacks, chains and chords are sent as. The main process follows them when a child was killed."""
    if not isinstance(value, dict):
        raise Refused("bad-callbacks", f"{name!r} does not hold signatures.")
    match value:
        case {"task": str() as task, "args": list(), "kwargs": dict() as kwargs, "options": dict() as options} if task:
            kind = value.get("subtask_type")
        case _:
            raise Refused("bad-callbacks", f"{name!r} does not hold signatures as Celery writes them.")
    if not _METHODS.isdisjoint(value):
        raise Refused("bad-callbacks", f"{name!r} holds a signature with a key that is not Celery's.")
    if kind is not None and (not isinstance(kind, str) or (kind and kind not in Signature.TYPES)):
        raise Refused("bad-callbacks", f"{name!r} holds a kind of signature that this worker does not know.")
    for option, inner in options.items():
        if inner is not None and option in _SIGNED_OPTIONS:
            _SIGNED_OPTIONS[option](name, inner)
        elif option in _RESERVED_OPTIONS or (inner is not None and option in _ID_OPTIONS and not _is_identity(inner)):
            raise Refused("bad-callbacks", f"{name!r} holds a signature whose option {option!r} is not what Celery writes there.")
    _inner_signatures(name, kind, kwargs)


def _inner_signatures(name: str, kind: str | None, kwargs: dict[str, Any]) -> None:
    if kind in ("group", "chain"):
        _signatures(name, kwargs.get("tasks"))
    elif kind == "chord":
        _signature_or_signatures(name, kwargs.get("header"))
        if (body := kwargs.get("body")) is not None:
            _signature(name, body)
    elif kind in ("xmap", "xstarmap", "chunks"):
        _signature(name, kwargs.get("task"))
        if not isinstance(kwargs.get("it"), list):
            raise Refused("bad-callbacks", f"{name!r} holds a map without a list.")


def _signatures(name: str, value: object) -> None:
    if not isinstance(value, list):
        raise Refused("bad-callbacks", f"{name!r} is not a list of signatures.")
    for each in value:
        _signature(name, each)


def _signature_or_signatures(name: str, value: object) -> None:
    if isinstance(value, dict):
        _signature(name, value)
    else:
        _signatures(name, value)


def _optional(check: _Check) -> _Check:
    def checked(name: str, value: object) -> None:
        if value is not None:
            check(name, value)

    return checked


# -- which value is checked how -----------------------------------------------------------------------------------------

_PROPERTIES: dict[str, _Check] = {
    "correlation_id": _identity,
    "reply_to": _identity,
    "priority": _whole_number,
}

_EMBEDDED: dict[str, _Check] = {
    "callbacks": _optional(_signatures),
    "errbacks": _optional(_signatures),
    "chain": _optional(_signatures),
    "chord": _optional(_signature),
}

_HEADERS: dict[str, _Check] = {
    # Celery makes the headers the attributes of its request: what is named like one of them, or like a method, would
    # replace it. The default for all of them; what a sender does set follows.
    **dict.fromkeys(dir(Context), _absent),
    "task": _name,
    "id": _name,
    "root_id": _identity,
    "parent_id": _identity,
    "group": _identity,
    "group_index": _whole_number,
    "taskset": _identity,
    "correlation_id": _identity,
    "reply_to": _identity,
    "lang": _words,
    "origin": _words,
    "shadow": _words,
    "argsrepr": _words,
    "kwargsrepr": _words,
    "retries": _retries,
    "timelimit": _time_limits,
    "time_limit": _time_limit,
    "soft_time_limit": _time_limit,
    "ignore_result": _flag,
    "replaced_task_nesting": _whole_number,
    "stamped_headers": _list_of_words,
    "stamps": _mapping,
    "headers": _mapping,
    "compression": _not_compressed,
    "claim_check": _mapping,
    "eta": _anything,  # see _moment, which needs the result
    "expires": _anything,
    "hostname": _anything,
    "delivery_info": _anything,
    "properties": _anything,
    "args": _anything,
    "kwargs": _anything,
    "utc": _anything,
    "is_eager": _anything,
    "called_directly": _anything,
    "loglevel": _anything,
    "logfile": _anything,
}

#: The keys of a signature, and then its options, become attributes of a request as well, in the main process when a child was killed.
_METHODS = frozenset(name for name in dir(Context) if callable(getattr(Context, name)))
_RESERVED_OPTIONS = _METHODS | {"app", "args", "it", "kwargs", "n", "options", "self", "subtask_type", "task", "type"}
_ID_OPTIONS = frozenset({"task_id", "group_id", "root_id", "parent_id"})
_SIGNED_OPTIONS: dict[str, _Check] = {
    "chord": _signature,
    "chain": _signatures,
    "link": _signature_or_signatures,
    "link_error": _signature_or_signatures,
}
