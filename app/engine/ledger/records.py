"""What is known of a task, as an item of the ledger and back."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zlib import crc32

from celery import states

from app.engine.job_ledger import FENCE, fence_of
from app.engine.ledger.claims import DEAD, generation_of
from app.engine.ledger.lineage import lineage_of
from app.topology.tables import LEDGER

RESULT_PREFIX = "celery-task-meta-"
INDEX = LEDGER.index("latest")
BY_STATE = LEDGER.index("state")
BY_FINGERPRINT = LEDGER.index("fingerprint")
#: What people look for. Everything else is found by time, and a success pays for no other index.
SEARCHED_STATES = frozenset({states.FAILURE, states.RETRY, states.REVOKED, DEAD})
#: A partition takes 1,000 writes a second; a day has this many.
SHARDS_PER_DAY = 4
LONGEST_ERROR = 500
_GENERATION_HEADERS = ("retries", "replaced_task_nesting")


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskRecord:
    """The last state that a worker reported."""

    id: str
    task: str
    queue: str
    state: str
    attempts: int
    worker: str
    error: str
    run_time: timedelta | None
    recorded_at: datetime
    fingerprint: str = ""
    """Of a failure; not in the index of the latest."""


def day_shards(day: datetime) -> list[str]:
    """The index partitions of that day."""
    return [f"{day:%Y-%m-%d}#{shard}" for shard in range(SHARDS_PER_DAY)]


def shard_of(task_id: str) -> int:
    """Each index has its items spread over as many partitions: a storm of one failure must not slow the table down."""
    return crc32(task_id.encode()) % SHARDS_PER_DAY


def describe_run(state: str, result: Any, request: Any, recorded_at: float, *, release: str = "", fingerprint: str = "") -> dict[str, Any]:
    """The attributes by which people search, or nothing but the state if Celery does not say which run it was.

    ``request`` is Celery's context of the run, or, when the worker's main process reports a lost or killed child, its
    request object: the two share most names.
    """
    attributes: dict[str, Any] = {"state": {"S": state}}
    task = task_of(request)
    if task is None:
        return attributes
    delivery = getattr(request, "delivery_info", None) or {}
    task_id = str(getattr(request, "id", None) or task)
    started = getattr(request, "run_started", None)
    if (fence := fence_of(request)) is not None:
        attributes[FENCE] = {"N": str(fence)}
        attributes["generation"] = {"N": str(generation_of({name: getattr(request, name, None) for name in _GENERATION_HEADERS}))}
    attributes |= _message(request)
    described = {
        "task": {"S": task},
        "queue": {"S": str(delivery.get("routing_key") or "?")},
        "attempts": {"N": str(_attempts(request))},
        "worker": {"S": str(getattr(request, "hostname", None) or "?")},
        "release": {"S": release},
    }
    if started is not None:
        run_seconds = time.monotonic() - started
        described["run_ms"] = {"N": str(round(run_seconds * 1000))}
        described["started_at"] = {"N": f"{recorded_at - run_seconds:.3f}"}
    if state in states.READY_STATES:
        described["finished_at"] = {"N": f"{recorded_at:.3f}"}
    if (due := getattr(request, "retry_due", None)) is not None:
        described["retry_at"] = {"N": f"{due.timestamp():.3f}"}
    error = _error(result)
    if error:
        described["error"] = {"S": error[:LONGEST_ERROR]}
    return attributes | described | index_keys(task_id, state, recorded_at, fingerprint)


def task_of(request: Any) -> str | None:
    """Its name. In a context ``task`` is the name; in a request object it is the task itself."""
    return next((named for named in (getattr(request, "task", None), getattr(request, "name", None)) if isinstance(named, str)), None)


def index_keys(task_id: str, state: str, recorded_at: float, fingerprint: str = "") -> dict[str, Any]:
    """What puts the record of a job into the indexes where it is looked for. ``state`` is Celery's."""
    shard = shard_of(task_id)
    keys: dict[str, Any] = {
        INDEX.partition_key.name: {"S": day_shards(datetime.fromtimestamp(recorded_at, UTC))[shard]},
        INDEX.sort_key.name: {"N": f"{recorded_at:.3f}"},
    }
    if state in SEARCHED_STATES:
        keys[BY_STATE.partition_key.name] = {"S": sharded(state, shard)}
    if fingerprint:
        keys["fingerprint"] = {"S": fingerprint}
        if state == states.FAILURE:
            keys[BY_FINGERPRINT.partition_key.name] = {"S": sharded(fingerprint, shard)}
    return keys


def sharded(value: str, shard: int) -> str:
    """The partition of an index."""
    return f"{value}#{shard}"


def _message(request: Any) -> dict[str, Any]:
    """Which message asked for the run, where its job comes from, how often it was received and sent back.

    All of it is the claim's, which the record of a result replaces.
    """
    told = getattr(request, "request_dict", None) or {}
    properties = getattr(request, "properties", None) or told.get("properties") or {}
    sqs_message = (properties.get("delivery_info") or {}).get("sqs_message") or {}
    attributes = sqs_message.get("Attributes") or {}
    message: dict[str, Any] = lineage_of(
        task_id=str(getattr(request, "id", None)),
        root=getattr(request, "root_id", None),
        parent=getattr(request, "parent_id", None),
        group=getattr(request, "group", None),
        tenant=attributes.get("MessageGroupId"),
    )
    if message_id := sqs_message.get("MessageId"):
        message["message_id"] = {"S": message_id}
    if receives := attributes.get("ApproximateReceiveCount"):
        message["receives"] = {"N": str(receives)}
    redrive = getattr(request, "redrive", None) or told.get("redrive")
    if isinstance(redrive, dict) and type(redrive.get("count")) is int:
        message["redrives"] = {"N": str(redrive["count"])}
    return message


def _attempts(request: Any) -> int:
    retries = getattr(request, "retries", None)
    if retries is None:
        retries = (getattr(request, "request_dict", None) or {}).get("retries", 0)
    return int(retries or 0) + 1


def _error(result: Any) -> str:
    """Class and message. ``result`` is what Celery's codec made of the exception."""
    if isinstance(result, BaseException):
        return f"{type(result).__name__}: {result}"
    if isinstance(result, dict) and "exc_type" in result:
        message = result.get("exc_message")
        text = ", ".join(str(part) for part in message) if isinstance(message, list | tuple) else str(message)
        return f"{result['exc_type']}: {text}"
    return ""


def read_record(item: Mapping[str, Any]) -> TaskRecord:
    """A record from an item of the index."""

    def text(name: str) -> str:
        return str(item.get(name, {}).get("S", ""))

    run_ms = item.get("run_ms", {}).get("N")
    return TaskRecord(
        id=text(LEDGER.partition_key.name).removeprefix(RESULT_PREFIX),
        task=text("task"),
        queue=text("queue"),
        state=text("state"),
        attempts=int(item.get("attempts", {}).get("N", 1)),
        worker=text("worker"),
        error=text("error"),
        run_time=timedelta(milliseconds=int(run_ms)) if run_ms else None,
        recorded_at=datetime.fromtimestamp(float(item[INDEX.sort_key.name]["N"]), UTC),
        fingerprint=text("fingerprint"),
    )
