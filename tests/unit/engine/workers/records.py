"""A worker as it might stand in the list."""

from datetime import UTC, datetime, timedelta

from app.engine.workers.records import RunningJob, WorkerRecord

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
WORKER = WorkerRecord(
    hostname="emails@one",
    service="worker-emails",
    queues=("emails", "letters"),
    paused=("letters",),
    slots=4,
    busy=1,
    running=(RunningJob(id="7", task="mailings.send", started_at=NOON - timedelta(seconds=40)),),
    reserved=3,
    busy_seconds=120.5,
    runs=40.25,
    memory_bytes=123_456_789,
    release="v1",
    ecs_task="arn:aws:ecs:eu-central-1:123456789012:task/millrace/158d1c80",
    is_draining=True,
    is_protected=True,
    started_at=NOON - timedelta(hours=1),
    seen_at=NOON,
)
