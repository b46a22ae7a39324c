"""Every metric that we publish. Those that AWS publishes for us are in ``aws_metrics.py``."""

from app.topology.policies import OWN_NAMESPACE, MetricPolicy, MetricUnit

NAMESPACE = OWN_NAMESPACE

#: In every metric, with the name prefix as its value: two deployments in one account must not share a curve.
DEPLOYMENT = "Deployment"
SERVICE = "Service"

_PER_TASK = (DEPLOYMENT, "Task", "Queue")
_PER_SERVICE = (DEPLOYMENT, SERVICE)
#: Percentiles of all the tasks of a queue can be had from nothing else.
_PER_QUEUE = ((DEPLOYMENT, "Queue"),)

TASK_RUNS = MetricPolicy(
    name="TaskRuns",
    purpose="Runs that ended, whatever the outcome.",
    unit=MetricUnit.COUNT,
    dimensions=_PER_TASK,
    other_dimensions=_PER_QUEUE,
)
TASK_RUN_TIME = MetricPolicy(
    name="TaskRunTime",
    purpose="How long a run took.",
    unit=MetricUnit.MILLISECONDS,
    dimensions=_PER_TASK,
    other_dimensions=_PER_QUEUE,
)
TASK_QUEUE_WAIT = MetricPolicy(
    name="TaskQueueWait",
    purpose="From sent (or due) to started, first delivery or not.",
    unit=MetricUnit.MILLISECONDS,
    dimensions=_PER_TASK,
    other_dimensions=_PER_QUEUE,
)
TASK_RETRIES = MetricPolicy(name="TaskRetries", purpose="Runs that asked to be tried again.", unit=MetricUnit.COUNT, dimensions=_PER_TASK)
TASK_FAILURES = MetricPolicy(
    name="TaskFailures",
    purpose="Runs that failed for good, by exception class.",
    unit=MetricUnit.COUNT,
    dimensions=(*_PER_TASK, "Exception"),
)
OUTBOX_LAG = MetricPolicy(
    name="OutboxLag", purpose="Age of the oldest message that is not sent yet.", unit=MetricUnit.SECONDS, dimensions=_PER_SERVICE
)
OUTBOX_WAITING = MetricPolicy(
    name="OutboxWaiting", purpose="Messages that are not sent yet.", unit=MetricUnit.COUNT, dimensions=_PER_SERVICE
)
LATE_RECORDS = MetricPolicy(
    name="LateRecords",
    purpose="Records of jobs that wait in the database until the ledger takes them.",
    unit=MetricUnit.COUNT,
    dimensions=_PER_SERVICE,
)
SCHEDULE_LAG = MetricPolicy(
    name="ScheduleLag",
    purpose="By how much the schedule is behind: the most overdue entry. The beat that leads says so; nobody else does.",
    unit=MetricUnit.SECONDS,
    dimensions=_PER_SERVICE,
)
WORKER_SLOTS = MetricPolicy(
    name="WorkerSlots", purpose="Runs that one worker has room for, once a minute.", unit=MetricUnit.COUNT, dimensions=_PER_SERVICE
)
WORKER_SLOTS_BUSY = MetricPolicy(
    name="WorkerSlotsBusy", purpose="Runs that go on in one worker, at the same moment.", unit=MetricUnit.COUNT, dimensions=_PER_SERVICE
)
SAGAS_STUCK = MetricPolicy(
    name="SagasStuck",
    purpose="Sagas whose compensation has failed for too long: they wait for a person.",
    unit=MetricUnit.COUNT,
    dimensions=(DEPLOYMENT,),
)
CAPACITY_DEFICIT = MetricPolicy(
    name="CapacityDeficit",
    purpose="Copies that a worker service needs beyond those desired, every 30 seconds; negative if it has too many. Beat publishes it itself.",
    unit=MetricUnit.COUNT,
    dimensions=_PER_SERVICE,
)
BREAKER_OPENINGS = MetricPolicy(
    name="BreakerOpenings",
    purpose="Circuit breakers that opened, or opened again after a probe.",
    unit=MetricUnit.COUNT,
    dimensions=(DEPLOYMENT, "Breaker"),
)

METRICS = (
    TASK_RUNS,
    TASK_RUN_TIME,
    TASK_QUEUE_WAIT,
    TASK_RETRIES,
    TASK_FAILURES,
    OUTBOX_LAG,
    OUTBOX_WAITING,
    LATE_RECORDS,
    SCHEDULE_LAG,
    WORKER_SLOTS,
    WORKER_SLOTS_BUSY,
    SAGAS_STUCK,
    CAPACITY_DEFICIT,
    BREAKER_OPENINGS,
)
