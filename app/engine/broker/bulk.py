"""Many jobs of one task, ten a request, without Celery's full price for each of them."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from celery import Task, signals
from celery.utils.nodenames import anon_nodename
from kombu.utils.uuid import uuid

from app.engine.broker import envelope
from app.engine.broker.batching import SendBatch
from app.engine.broker.errors import PartlySent
from app.engine.broker.registering import recorded
from app.engine.broker.sending import Sender
from app.engine.job_ledger import Enqueued, JobRegister

Arguments = Mapping[str, Any] | Sequence[Any]
"""Keyword arguments of one job, or its positional ones."""

_EMBED = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}


def publish_many(
    task: Task,
    jobs: Iterable[Arguments],
    *,
    countdown: float | None = None,
    eta: datetime | None = None,
    expires: float | datetime | None = None,
    queue: str | None = None,
    headers: Mapping[str, Any] | None = None,
) -> list[str]:
    """Send one job of ``task`` for each element of ``jobs`` and return their ids, in order.

    The same messages as from ``apply_async``: routes, signals, argument checks and parents included. The route is looked up
    once, with the arguments of the first job. Needs a :class:`~app.engine.broker.program.Program`.

    Raises ``TypeError`` for arguments that the task does not take, before anything is sent, and
    :class:`~app.engine.broker.errors.PartlySent` when SQS did not take, or did not answer for, some of them.
    """
    pairs = checked(task, jobs)
    if not pairs:
        return []
    routing_key = _queue_of(task, queue, *pairs[0])
    common = _headers(task, datetime.now(UTC), countdown=countdown, eta=eta, expires=expires) | dict(headers or {})
    ids = [uuid() for _ in pairs]
    batch = SendBatch()
    sender: Sender = task.app.sender
    write = _Template(sender, routing_key, common).entry if _is_unobserved() else _Observed(sender, task, routing_key, common).entry
    tenant = None
    for task_id, (args, kwargs) in zip(ids, pairs, strict=True):
        entry = write(task_id, args, kwargs)
        tenant = entry.get("MessageGroupId")
        batch.send_message(**entry)
    register: JobRegister | None = task.app.job_register
    if register is None:
        _send(batch, sender, ids)
        return ids
    enqueued = [Enqueued(headers=common | {"id": task_id}, queue=routing_key, tenant=tenant) for task_id in ids]
    with recorded(register, enqueued, is_recorded_first=True):
        _send(batch, sender, ids)
    return ids


def _send(batch: SendBatch, sender: Sender, ids: list[str]) -> None:
    batch.send(sender.client())
    if batch.failures or batch.unanswered:
        raise PartlySent(ids, batch.failures, batch.unanswered)


def checked(task: Task, jobs: Iterable[Arguments]) -> list[tuple[Sequence[Any], Mapping[str, Any]]]:
    """Positional and keyword arguments of each job. Raises ``TypeError`` for some that the task does not take."""
    pairs = [_pair(job) for job in jobs]
    if task.typing:
        for args, kwargs in pairs:
            task.__header__(*args, **kwargs)
    return pairs


def _pair(job: Arguments) -> tuple[Sequence[Any], Mapping[str, Any]]:
    if isinstance(job, Mapping):
        return (), job
    if isinstance(job, str | bytes) or not isinstance(job, Sequence):
        raise TypeError(f"expected the keyword arguments of a job as a mapping, or its positional ones as a sequence, got {job!r}")
    return job, {}


def _queue_of(task: Task, queue: str | None, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
    route = task.app.amqp.router.route({"queue": queue} if queue else {}, task.name, args, kwargs)
    return str(getattr(route.get("queue"), "name", None) or route.get("routing_key") or task.app.conf.task_default_queue)


def _headers(
    task: Task, now: datetime, *, countdown: float | None, eta: datetime | None, expires: float | datetime | None
) -> dict[str, Any]:
    """What all jobs have in common, as ``app.amqp.as_task_v2`` writes it."""
    if countdown is not None:
        eta = now + timedelta(seconds=countdown)
    expires = expires if expires is not None else task.expires
    if isinstance(expires, int | float):
        expires = now + timedelta(seconds=expires)
    parent = task.app.current_worker_task
    return {
        "lang": "py",
        "task": task.name,
        "eta": eta.isoformat() if eta else None,
        "expires": expires.isoformat() if expires else None,
        "origin": anon_nodename(),
        "ignore_result": task.ignore_result or None,
        "timelimit": [task.time_limit, task.soft_time_limit],
        "stamps": {},
        "root_id": (parent.request.root_id or parent.request.id) if parent is not None else None,
        "parent_id": parent.request.id if parent is not None else None,
    }


def _is_unobserved() -> bool:
    return not signals.before_task_publish.receivers and not signals.after_task_publish.receivers


def _message(queue: str, headers: Mapping[str, Any], body: str) -> dict[str, Any]:
    return {
        "body": body,
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "headers": headers,
        "properties": {"priority": 0, "body_encoding": "utf-8", "delivery_info": {"exchange": "", "routing_key": queue}},
    }


def _body(args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any], dict[str, Any]]:
    return list(args), dict(kwargs), _EMBED


class _Template:
    """Encodes once what all messages share, and puts id and body where they belong."""

    def __init__(self, sender: Sender, queue: str, headers: dict[str, Any]) -> None:
        self._sender = sender
        self._queue = queue
        self._headers = headers
        body_mark, id_mark = uuid(), uuid()
        self._entry = sender.entry(queue, _message(queue, headers | {"id": id_mark}, body_mark))
        text = self._entry.pop("MessageBody")
        self._before, rest = text.split(f'"{body_mark}"', 1)
        self._between, self._after = rest.split(id_mark, 1)

    def entry(self, task_id: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        body = envelope.dumps(_body(args, kwargs))
        if self._sender.may_be_large(body) or self._queue.endswith(".fifo"):
            return self._sender.entry(self._queue, _message(self._queue, self._headers | {"id": task_id}, body))
        text = f"{self._before}{json.dumps(body, ensure_ascii=False)}{self._between}{task_id}{self._after}"
        return self._entry | {"MessageBody": text}


class _Observed:
    """Asks the receivers of Celery's signals about each message; they may change its headers, and its body too."""

    def __init__(self, sender: Sender, task: Task, queue: str, headers: dict[str, Any]) -> None:
        self._sender = sender
        self._task = task
        self._queue = queue
        self._headers = headers

    def entry(self, task_id: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        headers = self._headers | {"id": task_id, "root_id": self._headers["root_id"] or task_id}
        body = _body(args, kwargs)
        message = _message(self._queue, headers, "")
        told = {"exchange": "", "routing_key": self._queue, "headers": headers, "body": body}
        signals.before_task_publish.send(sender=self._task.name, declare=[], properties=message["properties"], retry_policy={}, **told)
        message["body"] = envelope.dumps(body)
        entry = self._sender.entry(self._queue, message)
        signals.after_task_publish.send(sender=self._task.name, **told)
        return entry
