"""A worker as programs read it: the API, the command line and the health details say the same."""

from datetime import datetime
from typing import Any

from app.engine.workers.records import WorkerRecord
from app.engine.workers.registry import WorkerList


def document_of_all(workers: WorkerList, now: datetime) -> dict[str, Any]:
    """The list, the lost ones last."""
    return {
        "read_at": now,
        "workers": [document_of(worker, now) for worker in (*workers.live, *workers.lost)],
        "version_skew": workers.version_skew,
    }


def document_of(worker: WorkerRecord, now: datetime) -> dict[str, Any]:
    """Plain values; moments stay ``datetime``, in UTC."""
    return {
        "hostname": worker.hostname,
        "service": worker.service,
        "state": worker.state(now).value,
        "protected": worker.is_protected,
        "release": worker.release,
        "ecs_task": worker.ecs_task or None,
        "queues": list(worker.queues),
        "paused": list(worker.paused),
        "slots": worker.slots,
        "busy": worker.busy,
        "reserved": worker.reserved,
        "running": [{"id": job.id, "task": job.task, "started_at": job.started_at} for job in worker.running],
        "memory_bytes": worker.memory_bytes,
        "started_at": worker.started_at,
        "last_heartbeat": worker.seen_at,
    }
