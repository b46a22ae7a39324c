"""What of a revocation a worker does at once: remember it, and end what runs.

What it remembers Celery itself heeds, for every job that it receives or starts: the job is acknowledged unrun, its result says REVOKED.
"""

from collections.abc import Collection, Iterable, Mapping
from datetime import timedelta
from typing import Any

from billiard.common import TERM_SIGNAME
from celery.platforms import signals
from celery.utils.functional import maybe_list
from celery.worker import state

from app.engine.control.errors import ControlRefused

#: Some 25 MB in each worker. Of more, the oldest are forgotten.
MOST_REVOKED = 100_000


def remember_for(duration: timedelta) -> None:
    """Celery would forget after three hours, or 50,000."""
    state.revoked.maxlen = MOST_REVOKED
    state.revoked.expires = duration.total_seconds()


def ids_of(task_id: Any) -> list[str]:
    """One id or many, each once, in order."""
    return list(dict.fromkeys(str(one) for one in maybe_list(task_id) or ()))


def stamps_of(headers: Any) -> dict[str, list[Any]]:
    """``{"order": ["7", "8"]}``, or, from a command line, ``["order=7", "order=8"]``."""
    if isinstance(headers, Mapping):
        return {str(name): list(maybe_list(values) or ()) for name, values in headers.items()}
    stamps: dict[str, list[Any]] = {}
    for header in headers:
        name, equals, value = str(header).partition("=")
        if not equals:
            raise ControlRefused(f"expected header=value, got {header!r}")
        stamps.setdefault(name, []).append(value)
    return stamps


def revoke_ids(task_ids: Iterable[str]) -> None:
    state.revoked.update(list(task_ids))


def revoke_stamps(stamps: Mapping[str, Collection[Any]]) -> None:
    for name, values in stamps.items():
        known = list(maybe_list(state.revoked_stamps.get(name)) or ())
        state.revoked_stamps[name] = known + [value for value in values if value not in known]


def held_by_id(task_ids: Iterable[str]) -> list[Any]:
    """The requests of those jobs that this worker has: running or about to."""
    return [state.requests[task_id] for task_id in task_ids if task_id in state.requests]


def running_by_stamp(stamps: Mapping[str, Collection[Any]]) -> list[Any]:
    return [
        request
        for request in list(state.active_requests)
        if any(set(maybe_list(request.stamps.get(name)) or ()) & set(values) for name, values in stamps.items())
    ]


def terminate(requests: Iterable[Any], pool: Any, signal: str | int | None) -> list[str]:
    """End these runs by a signal, now or as soon as they start, and return their ids. Raises ``NotImplementedError`` for threads."""
    number = signals.signum(signal or TERM_SIGNAME)
    ended = []
    for request in requests:
        request.terminate(pool, signal=number)
        ended.append(request.id)
    return ended
