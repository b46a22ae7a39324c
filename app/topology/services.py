"""The processes. ECS and ``scripts/run`` start them with the same command."""

from datetime import timedelta

from app.topology.policies import HttpHealth, PulseHealth, QueuePolicy, ServicePolicy
from app.topology.queues import QUEUES

#: Runs at a time in one worker task. What waits on the network gets more, what keeps a core busy fewer.
_DEFAULT_SLOTS = 4
_SLOTS = {"cpu_intensive": 2, "reports": 2}


def worker_service(queue: QueuePolicy, slots: int) -> ServicePolicy:
    """A worker for one queue: Celery prefetches per queue, so that two queues on one worker would starve each other."""
    return ServicePolicy(
        name=f"worker-{queue.name.replace('_', '-')}",
        purpose=f"Runs the jobs of {queue.name}: {queue.purpose}",
        command=(
            *("celery", "--app", "app.config", "worker"),
            *("--queues", queue.name),
            *("--hostname", f"{queue.name}@%h"),
            *("--concurrency", str(slots)),
            *("--loglevel", "INFO"),
        ),
        consumes=(queue.name,),
        health=PulseHealth(),
        stop_timeout=timedelta(seconds=120),
    )


WEB = ServicePolicy(
    name="web",
    purpose="API, console and health, under gunicorn.",
    command=("gunicorn", "--config", "python:app.config.gunicorn", "app.config.wsgi:application"),
    health=HttpHealth(path="/health/live"),
)

BEAT = ServicePolicy(
    name="beat",
    purpose="Sends what the schedule says is due.",
    command=("celery", "--app", "app.config", "beat", "--loglevel", "INFO"),
    health=PulseHealth(max_age=timedelta(minutes=2)),
    singleton=True,
)

OUTBOX_RELAY = ServicePolicy(
    name="outbox-relay",
    purpose="Sends what was committed and not sent, and keeps the index of dead letters.",
    command=("python", "-m", "app.manage", "relay_outbox"),
    health=PulseHealth(),
)

SERVICES = (WEB, *(worker_service(queue, _SLOTS.get(queue.name, _DEFAULT_SLOTS)) for queue in QUEUES), BEAT, OUTBOX_RELAY)
