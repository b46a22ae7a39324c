"""What neither topology nor stage says. Each is printed with the estimate: whoever knows better changes the number here."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Assumption:
    value: float
    text: str
    """What the number is and where it comes from."""


HOURS = Assumption(value=730, text="hours in a month")
REQUESTS_A_JOB = Assumption(value=0.3, text="SQS requests a job, all told; benchmarks/RESULTS.md measures 0.20 to 0.30")
RECEIVES_A_MINUTE = Assumption(value=3, text="receives a minute of an idle worker: long polls of 20 seconds")
WRITE_UNITS_A_JOB = Assumption(value=4, text="DynamoDB write units a job: record, claim, result and the index of the latest (ADR 0020)")
READ_UNITS_A_JOB = Assumption(value=1, text="DynamoDB read units a job: whoever waits for it, and the console; a guess")
HEARTBEATS_A_MINUTE = Assumption(value=12, text="writes a minute of a process into the list of workers, of one unit each")
CONTROL_READS_A_MINUTE = Assumption(value=60, text="reads a minute of a worker for remote control, of half a unit each")
LOG_BYTES_A_JOB = Assumption(
    value=1500, text="bytes of log lines and metrics a job; 1,386 in the mean of 6,086 runs of a test, before a second set of dimensions"
)
LOG_BYTES_A_MINUTE = Assumption(value=1500, text="bytes of log lines and metrics a minute of a process without work; a guess")
LOG_COPIES_KEPT = Assumption(value=0.15, text="bytes kept of each byte logged: CloudWatch compresses")
NAT_BYTES_A_JOB = Assumption(
    value=10_000, text="bytes a job through the NAT gateway: SQS, logs, mail and partners; DynamoDB and S3 have endpoints; a guess"
)
NAT_GB_IDLE = Assumption(value=1, text="GB a month of a process through the NAT gateway: polls, logs, images at a start; a guess")
BUSY_SHARE = Assumption(
    value=0.7, text="of a worker's slots that are busy while it works off jobs; the rest is starting, waiting and scaling in"
)
LEAST_ACU_AWAKE = Assumption(
    value=0.5, text="Aurora capacity units of each instance at least: beat and the relay keep it awake, also where it may sleep"
)
ACU_HOURS_A_MILLION = Assumption(value=10, text="Aurora capacity unit-hours for a million jobs; a guess: watch ServerlessDatabaseCapacity")
IO_A_JOB = Assumption(value=10, text="Aurora I/O requests a job; a guess")
DATABASE_GB = Assumption(value=10, text="GB in the database")
TABLE_GB = Assumption(value=1, text="GB in the tables without jobs")
TABLE_BYTES_A_JOB = Assumption(value=2000, text="bytes a job in the ledger with its indexes; kept for RESULT_TTL_HOURS, a week")
WEEKS_KEPT = Assumption(value=168 / 730, text="of a month that they are kept")
TASKS_IN_USE = Assumption(value=20, text="tasks that run at least once a month: each is a set of custom metrics of its own")
EXCEPTIONS = Assumption(value=10, text="pairs of a task and an exception in a month: a custom metric each")
INSIGHTS_OF_A_CLUSTER = Assumption(value=8, text="metrics of Container Insights for the cluster; to be verified")
INSIGHTS_OF_A_SERVICE = Assumption(value=17, text="metrics of Container Insights for a service and its kind of task; to be verified")
INSIGHTS_OF_A_COPY = Assumption(value=30, text="more metrics of the enhanced kind for each copy and its container; to be verified")
SENSOR_READS_A_MINUTE = Assumption(
    value=2, text="SQS requests a minute and scaled service of the sensor of scaling; and as many PutMetricData in all"
)
FALLBACK_ALARM_METRICS = Assumption(value=4, text="metrics in each of the two alarms that scale a service while the sensor is silent")
FIREWALL_RULES = Assumption(value=5, text="rules of the firewall")
ENDPOINTS = Assumption(value=7, text="interface endpoints in each zone, where a stage has them")
BALANCER_UNITS = Assumption(value=0.1, text="load balancer capacity units in the mean: some requests a second")

ALL = tuple(value for value in list(globals().values()) if isinstance(value, Assumption))
