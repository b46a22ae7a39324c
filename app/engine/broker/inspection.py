"""What a message must be before kombu and Celery may see it.

Celery believes a message that it can read: one of the wrong shape ends the worker's main process, or stays in its queue for
ever. Here each is looked at on its own, and what fails says why, so that it can go to the dead letters with a reason.

    body ──size──▶ text ──depth──▶ envelope ──types, due time──▶ Inspected
                                      └─ inner body ──depth──▶ args, kwargs, callbacks ──▶ fit the task

Whatever a stock Celery (5.2 or later, task protocol 2, JSON) sends passes. Nothing but
:class:`~app.engine.broker.refusals.Refused` and ``UnknownTask`` is raised, whatever the bytes are.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.engine.broker.headers import HEADERS, LATEST, METHODS, PROPERTIES, moment_of
from app.engine.broker.json_text import inner_text, load, outer_text
from app.engine.broker.refusals import Refused, UnknownTask
from app.engine.broker.signatures import EMBEDDED


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
    payload = load(outer_text(body), "not-json", "The message")
    if not isinstance(payload, dict):
        raise Refused("not-json", "The message is not a JSON object, as Celery's are.")
    headers, properties = _parts(payload)
    for name, value in headers.items():
        # Most headers of most messages are null, which is the same as absent, unless it replaces a method.
        if (value is not None or name in METHODS) and (check := HEADERS.get(name)) is not None:
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
        eta=moment_of("bad-eta", "eta", headers.get("eta"), min(now + latest_eta_seconds, LATEST)),
        expires=moment_of("bad-expires", "expires", headers.get("expires"), LATEST),
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
    body = load(inner_text(payload["body"], payload["properties"].get("body_encoding")), "bad-body", "The inner body")
    match body:
        case [list() as args, dict() as kwargs, dict() as embed]:
            pass
        case _:
            raise Refused("bad-body", "The inner body is not [arguments, keyword arguments, embedded signatures].")
    for name, value in embed.items():
        if name in EMBEDDED:
            EMBEDDED[name](name, value)
        elif name in HEADERS:
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
    for name, check in PROPERTIES.items():
        if (value := properties.get(name)) is not None:
            check(name, value)
    return headers, properties


def _is_protocol_1(payload: dict[str, Any], properties: dict[str, Any]) -> bool:
    try:
        body = load(inner_text(payload["body"], properties.get("body_encoding")), "bad-body", "The inner body")
    except Refused:
        return False
    return isinstance(body, dict) and "task" in body
