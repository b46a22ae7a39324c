"""What each header and property of a message may be.

Celery makes the headers of a message the attributes of its request, and computes with them, unchecked.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from celery.app.task import Context
from celery.utils.time import maybe_iso8601

from app.engine.broker.refusals import Reason, Refused

LONGEST_ID = 255
MOST_RETRIES = 1_000_000
"""The exponential backoff computes ``2 ** retries``."""
LONGEST_TIME_LIMIT_SECONDS = 2**31
LONGEST_MOMENT = 64
LATEST = datetime(9999, 1, 1, tzinfo=UTC).timestamp()
"""Nearer to the end of the calendar, conversions between time zones overflow."""

#: Each gets a name and a value that is not null, and raises :class:`~app.engine.broker.refusals.Refused`.
Check = Callable[[str, Any], None]


def _name(name: str, value: object) -> None:
    if not value or not is_identity(value):
        raise Refused("bad-header", f"{name!r} is not a text of 1 to {LONGEST_ID} printable characters.")


def is_identity(value: object) -> bool:
    # Printable leaves out half surrogate pairs, which no store takes, and line ends, which forge log lines.
    return isinstance(value, str) and len(value) <= LONGEST_ID and value.isprintable()


def _identity(name: str, value: object) -> None:
    if not is_identity(value):
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


# -- due time and expiry -------------------------------------------------------------------------------------------------

#: What ``datetime.isoformat`` writes, which is what Celery sends. Celery's parser takes more, and a hundred times as long.
_USUAL_MOMENT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{6})?(?:[+-][0-9]{2}:[0-9]{2})?", re.ASCII)


def moment_of(reason: Reason, name: str, value: object, latest: float) -> float | None:
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


# -- which value is checked how -----------------------------------------------------------------------------------------

PROPERTIES: dict[str, Check] = {
    "correlation_id": _identity,
    "reply_to": _identity,
    "priority": _whole_number,
}

HEADERS: dict[str, Check] = {
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
    "eta": _anything,  # see moment_of, which needs the result
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

#: Of Celery's request: what is named like one of them would replace it.
METHODS = frozenset(name for name in dir(Context) if callable(getattr(Context, name)))
