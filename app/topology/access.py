"""What each kind of process does in AWS. Derived from the calls in ``app/engine`` and proven by taking each grant away.

SQS and DynamoDB know no action for a batch of sends or reads of their own, but one for a batch of writes.
"""

from collections.abc import Mapping

from app.topology.buckets import ARTIFACTS, CLAIM_CHECKS, FILES, RESULTS
from app.topology.grants import ANY_METRIC, MAIL, TASKS, Grant, bucket, dead_letters, indexes, metrics, objects, queues, services, table
from app.topology.metrics import NAMESPACE
from app.topology.queues import QUEUES
from app.topology.tables import BREAKERS, LEDGER, MAILBOX, WORKERS

_ALL_QUEUES = tuple(queue.name for queue in QUEUES)
_CONSUMING = ("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility")

# -- what many do ---------------------------------------------------------------------------------------------------
_SENDING = (
    Grant(purpose="Send jobs", actions=("sqs:SendMessage",), on=queues(*_ALL_QUEUES)),
    Grant(purpose="Record that jobs were sent", actions=("dynamodb:BatchWriteItem",), on=table(LEDGER.name)),
)
_SENDING_LARGE = Grant(purpose="Lay down large bodies", actions=("s3:PutObject",), on=objects(ARTIFACTS.name, CLAIM_CHECKS))
_PRESENCE = Grant(purpose="Stand in the list of workers", actions=("dynamodb:PutItem", "dynamodb:DeleteItem"), on=table(WORKERS.name))
_LISTING_WORKERS = Grant(purpose="Read the list of workers", actions=("dynamodb:Scan",), on=table(WORKERS.name))
_WORKING_OFF_LETTERS = Grant(purpose="Work off dead letters", actions=_CONSUMING, on=dead_letters(*_ALL_QUEUES))
_LISTING_LETTERS = Grant(purpose="List dead letters", actions=("dynamodb:Query",), on=indexes(LEDGER.name, "dead_letters"))
_READING = (
    Grant(purpose="Read jobs", actions=("dynamodb:BatchGetItem",), on=table(LEDGER.name)),
    Grant(purpose="Search jobs", actions=("dynamodb:Query",), on=indexes(LEDGER.name, *(index.name for index in LEDGER.indexes))),
    Grant(purpose="Count messages", actions=("sqs:GetQueueAttributes",), on=(*queues(*_ALL_QUEUES), *dead_letters(*_ALL_QUEUES))),
    Grant(purpose="Read how old messages are", actions=("cloudwatch:GetMetricData",), on=ANY_METRIC),
    _LISTING_WORKERS,
)

# -- each service ---------------------------------------------------------------------------------------------------
WEB = (
    *_SENDING,
    _SENDING_LARGE,
    *_READING,
    Grant(purpose="Keep the groups and chords that views start", actions=("dynamodb:PutItem",), on=table(LEDGER.name)),
    Grant(purpose="Read breakers", actions=("dynamodb:BatchGetItem",), on=table(BREAKERS.name)),
    Grant(purpose="Ask whether the ledger answers", actions=("dynamodb:DescribeTable",), on=table(LEDGER.name)),
    Grant(purpose="Take and hand out files", actions=("s3:GetObject", "s3:PutObject"), on=objects(FILES.name)),
    # Without it S3 says of a file that is not there that it is forbidden.
    Grant(purpose="Tell absent files", actions=("s3:ListBucket",), on=bucket(FILES.name)),
)

OUTBOX_RELAY = (
    *_SENDING,
    _SENDING_LARGE,
    _PRESENCE,
    Grant(purpose="Count dead letters", actions=("sqs:GetQueueAttributes",), on=dead_letters(*_ALL_QUEUES)),
    _WORKING_OFF_LETTERS,
    _LISTING_LETTERS,
    Grant(
        purpose="Keep the index of dead letters",
        actions=("dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem"),
        on=table(LEDGER.name),
    ),
)

# -- a person's commands --------------------------------------------------------------------------------------------
OPERATOR = (
    *_SENDING,
    *_READING,
    _WORKING_OFF_LETTERS,
    Grant(
        purpose="Note what became of dead letters, and which jobs were sent back",
        actions=("dynamodb:UpdateItem", "dynamodb:PutItem"),
        on=table(LEDGER.name),
    ),
    Grant(
        purpose="Give commands to workers and read their answers", actions=("dynamodb:PutItem", "dynamodb:Query"), on=table(MAILBOX.name)
    ),
    Grant(purpose="List breakers and close one", actions=("dynamodb:Scan", "dynamodb:UpdateItem"), on=table(BREAKERS.name)),
)


def beat_grants(scaled: Mapping[str, str]) -> tuple[Grant, ...]:
    """``scaled``: by its name, the queue of each service whose copies follow one. Beat says how many are missing."""
    return (
        *_SENDING,
        _PRESENCE,
        _LISTING_WORKERS,
        Grant(purpose="Count what waits", actions=("sqs:GetQueueAttributes",), on=queues(*scaled.values())),
        Grant(purpose="Read how many copies are desired", actions=("ecs:DescribeServices",), on=services(*scaled)),
        Grant(purpose="Publish how many are missing", actions=("cloudwatch:PutMetricData",), on=metrics(NAMESPACE)),
    )


def worker_grants(queue: str) -> tuple[Grant, ...]:
    """Of the worker of one queue: it receives from no other. Whatever a job may do, it may send jobs to all of them."""
    return (
        *_SENDING,
        _SENDING_LARGE,
        _PRESENCE,
        Grant(purpose="Receive and settle jobs", actions=_CONSUMING, on=queues(queue)),
        Grant(purpose="Know how its queue is set", actions=("sqs:GetQueueAttributes",), on=queues(queue)),
        Grant(purpose="Bury what cannot be done", actions=("sqs:SendMessage",), on=dead_letters(queue)),
        Grant(purpose="Claim runs and keep their results", actions=("dynamodb:UpdateItem", "dynamodb:PutItem"), on=table(LEDGER.name)),
        Grant(purpose="Read the parts of chords", actions=("dynamodb:BatchGetItem",), on=table(LEDGER.name)),
        Grant(purpose="Fetch large bodies", actions=("s3:GetObject", "s3:DeleteObject"), on=objects(ARTIFACTS.name, CLAIM_CHECKS)),
        Grant(purpose="Keep large results", actions=("s3:PutObject", "s3:GetObject"), on=objects(ARTIFACTS.name, RESULTS)),
        Grant(purpose="Follow commands and answer them", actions=("dynamodb:Query", "dynamodb:PutItem"), on=table(MAILBOX.name)),
        Grant(purpose="Be spared while a run is long", actions=("ecs:UpdateTaskProtection",), on=TASKS),
        *_OF_WORKLOADS.get(queue, ()),
    )


_MAKING_FILES = (
    Grant(purpose="Make and delete files", actions=("s3:GetObject", "s3:PutObject", "s3:DeleteObject"), on=objects(FILES.name)),
    Grant(purpose="List files and tell absent ones", actions=("s3:ListBucket",), on=bucket(FILES.name)),
)

#: What the jobs of a queue do besides.
_OF_WORKLOADS: dict[str, tuple[Grant, ...]] = {
    "default": (
        _WORKING_OFF_LETTERS,
        _LISTING_LETTERS,
        Grant(purpose="Read and move breakers", actions=("dynamodb:BatchGetItem", "dynamodb:UpdateItem"), on=table(BREAKERS.name)),
    ),
    # The second where the content is raw, as anymail's is.
    "emails": (Grant(purpose="Send mail", actions=("ses:SendEmail", "ses:SendRawEmail"), on=MAIL),),
    "cpu_intensive": _MAKING_FILES,
    "reports": _MAKING_FILES,
}
