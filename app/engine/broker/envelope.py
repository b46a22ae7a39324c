"""What a Celery message looks like in SQS: kombu's envelope, encoded once and without what nobody reads.

Stock Celery workers read it as it is. Left out: base64 (twice, in kombu), the printed arguments (a copy of the arguments
in clear text), the reply queue and the delivery tag (SQS has its own), and of Celery's own headers what says what its absence says.
"""

from collections.abc import Mapping
from typing import Any

from kombu.utils.json import JSONEncoder

_UNREAD_HEADERS = frozenset({"argsrepr", "kwargsrepr"})
_UNREAD_PROPERTIES = frozenset(
    {
        "reply_to",
        "delivery_tag",
        "delivery_mode",
        "message_attributes",
        "DelaySeconds",
        "delay_seconds",
        "MessageGroupId",
        "MessageDeduplicationId",
        "origin",
        "expiration",
        "argsrepr",
        "kwargsrepr",
    }
)
#: Celery, and a run that asks its request, read an absent one as these, and null as if it were absent. Not so the empty
#: ``timelimit`` and ``stamps`` and the priority 0: they are sent. Of what others put into a message nothing is left out.
_SAID_BY_ABSENCE: dict[str, Any] = {
    **dict.fromkeys(("shadow", "eta", "expires", "group", "group_index", "parent_id", "root_id", "stamped_headers", "correlation_id")),
    "retries": 0,
    "replaced_task_nesting": 0,
    "ignore_result": False,
}

#: kombu's, for the types that Celery lets pass: dates, UUIDs, decimals, lazy strings.
_encode = JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def dumps(value: Any) -> str:
    """JSON as short as it gets. Raises ``TypeError`` or ``ValueError`` for what is not JSON."""
    text: str = _encode(value)
    return text


def encode(message: Mapping[str, Any]) -> str:
    """The text of a message. Raises ``TypeError`` or ``ValueError`` for headers that are not JSON."""
    headers, properties = message.get("headers") or {}, message.get("properties") or {}
    task_id = headers.get("id")
    return dumps(
        {
            "body": message["body"],
            "content-encoding": message.get("content-encoding"),
            "content-type": message.get("content-type"),
            "headers": _said(headers, _UNREAD_HEADERS, "root_id", task_id),
            "properties": _said(properties, _UNREAD_PROPERTIES, "correlation_id", task_id),
        }
    )


def complete(payload: dict[str, Any]) -> None:
    """Put back, in a received envelope, what :func:`encode` leaves out because it says the same as the id."""
    headers = payload["headers"]
    headers.setdefault("root_id", headers["id"])
    payload["properties"].setdefault("correlation_id", headers["id"])


def _said(entries: Mapping[str, Any], unread: frozenset[str], same: str, task_id: Any) -> dict[str, Any]:
    """What has to be written. Every message comes through here, so this is one loop and not four functions."""
    said = {}
    for name, value in entries.items():
        if name in unread or (name == same and value == task_id):
            continue
        if name in _SAID_BY_ABSENCE and (value is None or value == _SAID_BY_ABSENCE[name]):
            continue
        said[name] = value
    return said
