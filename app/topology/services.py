"""The processes. ECS and ``scripts/run`` start them with the same command."""

from datetime import timedelta

from app.topology import access
from app.topology.policies import HttpHealth, PulseHealth, QueuePolicy, ServicePolicy
from app.topology.queues import QUEUES
from app.topology.scaling import ScalingMode, ScalingPolicy

#: Runs at a time in one worker task. What waits on the network gets more, what keeps a core busy fewer.
_DEFAULT_SLOTS = 4
_SLOTS = {"cpu_intensive": 2, "reports": 2}

#: The longest that Fargate gives.
_STOP_TIMEOUT = timedelta(seconds=120)
#: Of a run that a stop leaves no time for, every second is to be protected.
_AT_ONCE = {"PROTECT_RUNS_AFTER_SECONDS": "1"}

#: CPU units and MiB. A child is replaced above WORKER_MAX_MEMORY_PER_CHILD_MIB: so much for each slot, and as much for what they share.
_DEFAULT_SIZE = (512, 1024)
_SIZES = {"cpu_intensive": (2048, 4096), "reports": (1024, 2048)}

_DEFAULT_SCALING = ScalingPolicy(minimum=1, maximum=20, wait_goal=timedelta(minutes=1), expected_run_time=timedelta(seconds=1))
_SCALING = {
    "emails": ScalingPolicy(minimum=1, maximum=10, wait_goal=timedelta(minutes=2), expected_run_time=timedelta(seconds=1)),
    # Nobody looks at these while they wait: they cost nothing without work, and share slots when there is some.
    "cpu_intensive": ScalingPolicy(
        minimum=0, maximum=20, wait_goal=timedelta(minutes=10), expected_run_time=timedelta(seconds=5), mode=ScalingMode.ECONOMY
    ),
    "reports": ScalingPolicy(
        minimum=0, maximum=10, wait_goal=timedelta(minutes=30), expected_run_time=timedelta(minutes=2), mode=ScalingMode.ECONOMY
    ),
    "notifications": ScalingPolicy(minimum=1, maximum=20, wait_goal=timedelta(seconds=30), expected_run_time=timedelta(seconds=1)),
}


def worker_service(queue: QueuePolicy, *, slots: int, scaling: ScalingPolicy) -> ServicePolicy:
    """A worker for one queue: Celery prefetches per queue, so that two queues on one worker would starve each other."""
    cpu_units, memory_mib = _SIZES.get(queue.name, _DEFAULT_SIZE)
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
        stop_timeout=_STOP_TIMEOUT,
        slots=slots,
        scaling=scaling,
        cpu_units=cpu_units,
        memory_mib=memory_mib,
        # It gives back what it holds when it is told to go, and what it could not give back comes again.
        spot_weight=3,
        variables=_AT_ONCE if scaling.expected_run_time > _STOP_TIMEOUT / 2 else {},
        grants=access.worker_grants(queue.name),
    )


WORKERS = tuple(
    worker_service(queue, slots=_SLOTS.get(queue.name, _DEFAULT_SLOTS), scaling=_SCALING.get(queue.name, _DEFAULT_SCALING))
    for queue in QUEUES
)

WEB = ServicePolicy(
    name="web",
    purpose="API, console and health, under gunicorn.",
    command=("gunicorn", "--config", "python:app.config.gunicorn", "app.config.wsgi:application"),
    health=HttpHealth(path="/health/live"),
    cpu_units=512,
    memory_mib=1024,
    grants=access.WEB,
)

BEAT = ServicePolicy(
    name="beat",
    purpose="Sends what the schedule says is due.",
    command=("celery", "--app", "app.config", "beat", "--loglevel", "INFO"),
    health=PulseHealth(max_age=timedelta(minutes=2)),
    singleton=True,
    grants=access.beat_grants({worker.name: worker.consumes[0] for worker in WORKERS}),
)

OUTBOX_RELAY = ServicePolicy(
    name="outbox-relay",
    purpose="Sends what was committed and not sent, and keeps the index of dead letters.",
    command=("python", "-m", "app.manage", "relay_outbox"),
    health=PulseHealth(),
    grants=access.OUTBOX_RELAY,
)

SERVICES = (WEB, *WORKERS, BEAT, OUTBOX_RELAY)
