"""What the callbacks, chains and chords inside a message may be.

The main process of a worker follows them when a child was killed: a signature that is not what Celery writes would end it.
"""

from typing import Any

from celery.canvas import Signature

from app.engine.broker.headers import METHODS, Check, is_identity
from app.engine.broker.refusals import Refused


def _signature(name: str, value: object) -> None:
    """What callbacks, chains and chords are sent as. The main process follows them when a child was killed."""
    if not isinstance(value, dict):
        raise Refused("bad-callbacks", f"{name!r} does not hold signatures.")
    match value:
        case {"task": str() as task, "args": list(), "kwargs": dict() as kwargs, "options": dict() as options} if task:
            kind = value.get("subtask_type")
        case _:
            raise Refused("bad-callbacks", f"{name!r} does not hold signatures as Celery writes them.")
    if not METHODS.isdisjoint(value):
        raise Refused("bad-callbacks", f"{name!r} holds a signature with a key that is not Celery's.")
    if kind is not None and (not isinstance(kind, str) or (kind and kind not in Signature.TYPES)):
        raise Refused("bad-callbacks", f"{name!r} holds a kind of signature that this worker does not know.")
    for option, inner in options.items():
        if inner is not None and option in _SIGNED_OPTIONS:
            _SIGNED_OPTIONS[option](name, inner)
        elif option in _RESERVED_OPTIONS or (inner is not None and option in _ID_OPTIONS and not is_identity(inner)):
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


def _optional(check: Check) -> Check:
    def checked(name: str, value: object) -> None:
        if value is not None:
            check(name, value)

    return checked


EMBEDDED: dict[str, Check] = {
    "callbacks": _optional(_signatures),
    "errbacks": _optional(_signatures),
    "chain": _optional(_signatures),
    "chord": _optional(_signature),
}

#: The keys of a signature, and then its options, become attributes of a request as well, in the main process when a child was killed.
_RESERVED_OPTIONS = METHODS | {"app", "args", "it", "kwargs", "n", "options", "self", "subtask_type", "task", "type"}
_ID_OPTIONS = frozenset({"task_id", "group_id", "root_id", "parent_id"})
_SIGNED_OPTIONS: dict[str, Check] = {
    "chord": _signature,
    "chain": _signatures,
    "link": _signature_or_signatures,
    "link_error": _signature_or_signatures,
}
