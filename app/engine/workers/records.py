"""What is known of one worker, and how it stands in the table ``workers``."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from app.topology.tables import WORKERS

HEARTBEAT = timedelta(seconds=5)
#: Four heartbeats: one may be slow, two may fail.
SILENT_AFTER = 4 * HEARTBEAT
#: For so long a worker that did not say good-bye is shown as lost; then DynamoDB forgets it.
FORGOTTEN_AFTER = timedelta(hours=1)
#: Of what a worker runs, the longest runs are told; ``busy`` counts all. A worker of greenlets may run hundreds.
MOST_RUNNING = 50


class WorkerState(StrEnum):
    """
    | live ── drain ──▶ draining ── undrain ──▶ live |  live, draining ── SIGTERM ──▶ stopping ── its process ends ──▶ not listed |
    | any of these ── silent for 20 s ──▶ lost ── heard of again ──▶ as before |  lost ── an hour ──▶ forgotten |
    """

    LIVE = "live"
    DRAINING = "draining"
    STOPPING = "stopping"
    LOST = "lost"


@dataclass(frozen=True, kw_only=True, slots=True)
class RunningJob:
    id: str
    task: str
    started_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerRecord:
    """A worker by its last heartbeat. Of a beat or a relay, which run no jobs: no queues, no slots."""

    hostname: str
    service: str
    queues: tuple[str, ...]
    """Those that it is there for, also while it takes nothing from them."""
    paused: tuple[str, ...] = ()
    """Every queue that it knows to be paused."""
    slots: int
    busy: int = 0
    """Slots in use."""
    running: tuple[RunningJob, ...]
    """The longest runs first, 50 at most."""
    reserved: int
    """Received and not started."""
    busy_seconds: float = 0.0
    """Of its slots, in the last minutes."""
    runs: float = 0.0
    """That began in the last minutes; older ones count less and less."""
    memory_bytes: int | None = None
    """Of the process and its children. ``None`` where the system does not tell."""
    release: str
    ecs_task: str = ""
    """Its ARN; empty outside of ECS."""
    is_draining: bool = False
    is_stopping: bool = False
    is_protected: bool = False
    """From scale-in, by ECS's own answer."""
    started_at: datetime
    seen_at: datetime

    def state(self, now: datetime) -> WorkerState:
        if now - self.seen_at >= SILENT_AFTER:
            return WorkerState.LOST
        if self.is_stopping:
            return WorkerState.STOPPING
        return WorkerState.DRAINING if self.is_draining else WorkerState.LIVE

    @property
    def attended(self) -> tuple[str, ...]:
        """The queues whose jobs it takes, or would if they were not paused."""
        return () if self.is_draining or self.is_stopping else self.queues


def item_of(worker: WorkerRecord) -> dict[str, Any]:
    return {
        WORKERS.partition_key.name: {"S": worker.hostname},
        WORKERS.ttl_attribute: _number(int((worker.seen_at + FORGOTTEN_AFTER).timestamp())),
        "service": {"S": worker.service},
        "queues": {"L": [{"S": queue} for queue in worker.queues]},
        "paused": {"L": [{"S": queue} for queue in worker.paused]},
        "slots": _number(worker.slots),
        "busy": _number(worker.busy),
        "running": {
            "L": [
                {"M": {"id": {"S": job.id}, "task": {"S": job.task}, "started_at": _number(job.started_at.timestamp())}}
                for job in worker.running
            ]
        },
        "reserved": _number(worker.reserved),
        "busy_seconds": _number(round(worker.busy_seconds, 3)),
        "runs": _number(round(worker.runs, 3)),
        **({} if worker.memory_bytes is None else {"memory_bytes": _number(worker.memory_bytes)}),
        "release": {"S": worker.release},
        "ecs_task": {"S": worker.ecs_task},
        "is_draining": {"BOOL": worker.is_draining},
        "is_stopping": {"BOOL": worker.is_stopping},
        "is_protected": {"BOOL": worker.is_protected},
        "started_at": _number(worker.started_at.timestamp()),
        "seen_at": _number(worker.seen_at.timestamp()),
    }


def record_of(item: Mapping[str, Any]) -> WorkerRecord:
    """What an older release has written lacks some attributes: during a deployment both are in the table."""
    running = tuple(
        RunningJob(id=job["M"]["id"]["S"], task=job["M"]["task"]["S"], started_at=_moment(job["M"]["started_at"]))
        for job in item["running"]["L"]
    )
    memory = item.get("memory_bytes")
    return WorkerRecord(
        hostname=item[WORKERS.partition_key.name]["S"],
        service=item["service"]["S"],
        queues=_texts(item["queues"]),
        paused=_texts(item.get("paused", {"L": []})),
        slots=int(item["slots"]["N"]),
        busy=int(item["busy"]["N"]) if "busy" in item else len(running),
        running=running,
        reserved=int(item["reserved"]["N"]),
        busy_seconds=float(item.get("busy_seconds", {"N": "0"})["N"]),
        runs=float(item.get("runs", {"N": "0"})["N"]),
        memory_bytes=None if memory is None else int(memory["N"]),
        release=item["release"]["S"],
        ecs_task=item.get("ecs_task", {"S": ""})["S"],
        is_draining=_is(item, "is_draining"),
        is_stopping=_is(item, "is_stopping"),
        is_protected=_is(item, "is_protected"),
        started_at=_moment(item["started_at"]),
        seen_at=_moment(item["seen_at"]),
    )


def _number(value: float) -> dict[str, str]:
    return {"N": str(value)}


def _texts(value: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(text["S"] for text in value["L"])


def _is(item: Mapping[str, Any], name: str) -> bool:
    return bool(item.get(name, {"BOOL": False})["BOOL"])


def _moment(value: Mapping[str, Any]) -> datetime:
    return datetime.fromtimestamp(float(value["N"]), UTC)
