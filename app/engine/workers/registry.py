"""The list of living workers."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from socket import gethostname
from typing import Any

from app.engine.aws import clients
from app.engine.aws.errors import translated
from app.engine.conf import EngineSettings
from app.topology.naming import table_name
from app.topology.tables import WORKERS

HEARTBEAT = timedelta(seconds=5)
#: Four heartbeats: one may be slow, two may fail.
SILENT_AFTER = 4 * HEARTBEAT
#: After this DynamoDB forgets a worker that did not say good-bye.
FORGOTTEN_AFTER = timedelta(hours=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class RunningJob:
    id: str
    task: str
    started_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerRecord:
    hostname: str
    service: str
    queues: tuple[str, ...]
    slots: int
    running: tuple[RunningJob, ...]
    reserved: int
    """Received and not started."""
    release: str
    started_at: datetime
    seen_at: datetime


def live_workers(settings: EngineSettings, now: datetime) -> tuple[WorkerRecord, ...]:
    """The workers, beats and relays heard of within 20 seconds, by service and host name.

    One strongly consistent scan of a table with an item a worker. Raises
    :class:`~app.engine.aws.errors.AwsUnavailable` or ``AwsRefused``.
    """
    items: list[Mapping[str, Any]] = []
    with translated("read the list of workers"):
        for page in clients.dynamodb(settings).get_paginator("scan").paginate(TableName=_table(settings), ConsistentRead=True):
            items += page["Items"]
    workers = (_record(item) for item in items)
    return tuple(
        sorted((worker for worker in workers if now - worker.seen_at < SILENT_AFTER), key=lambda worker: (worker.service, worker.hostname))
    )


def report_worker(settings: EngineSettings, worker: WorkerRecord) -> None:
    """Write the item of a living worker. Raises :class:`~app.engine.aws.errors.AwsUnavailable` or ``AwsRefused``."""
    with translated("report this worker"):
        clients.dynamodb(settings).put_item(TableName=_table(settings), Item=_item(worker))


def service_hostname(settings: EngineSettings) -> str:
    return f"{settings.service}@{gethostname()}"


def report_service(settings: EngineSettings, started_at: datetime, now: datetime) -> None:
    """Write the item of a living service that runs no jobs: beat, the outbox relay. Raises what :func:`report_worker` raises."""
    report_worker(
        settings,
        WorkerRecord(
            hostname=service_hostname(settings),
            service=settings.service,
            queues=(),
            slots=0,
            running=(),
            reserved=0,
            release=settings.release,
            started_at=started_at,
            seen_at=now,
        ),
    )


def forget_worker(settings: EngineSettings, hostname: str) -> None:
    """Delete the item of a worker that stops in order."""
    with translated("sign this worker off"):
        clients.dynamodb(settings).delete_item(TableName=_table(settings), Key={WORKERS.partition_key.name: {"S": hostname}})


def _table(settings: EngineSettings) -> str:
    return table_name(settings.name_prefix, WORKERS.name)


def _item(worker: WorkerRecord) -> dict[str, Any]:
    return {
        WORKERS.partition_key.name: {"S": worker.hostname},
        WORKERS.ttl_attribute: {"N": str(int((worker.seen_at + FORGOTTEN_AFTER).timestamp()))},
        "service": {"S": worker.service},
        "queues": {"L": [{"S": queue} for queue in worker.queues]},
        "slots": {"N": str(worker.slots)},
        "running": {
            "L": [
                {"M": {"id": {"S": job.id}, "task": {"S": job.task}, "started_at": {"N": str(job.started_at.timestamp())}}}
                for job in worker.running
            ]
        },
        "reserved": {"N": str(worker.reserved)},
        "release": {"S": worker.release},
        "started_at": {"N": str(worker.started_at.timestamp())},
        "seen_at": {"N": str(worker.seen_at.timestamp())},
    }


def _record(item: Mapping[str, Any]) -> WorkerRecord:
    def moment(value: Mapping[str, Any]) -> datetime:
        return datetime.fromtimestamp(float(value["N"]), UTC)

    return WorkerRecord(
        hostname=item[WORKERS.partition_key.name]["S"],
        service=item["service"]["S"],
        queues=tuple(queue["S"] for queue in item["queues"]["L"]),
        slots=int(item["slots"]["N"]),
        running=tuple(
            RunningJob(id=job["M"]["id"]["S"], task=job["M"]["task"]["S"], started_at=moment(job["M"]["started_at"]))
            for job in item["running"]["L"]
        ),
        reserved=int(item["reserved"]["N"]),
        release=item["release"]["S"],
        started_at=moment(item["started_at"]),
        seen_at=moment(item["seen_at"]),
    )
