"""Which stacks there are, in the order of the tables."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Stack:
    """One program under test."""

    name: str
    module: str
    says: str
    """What it is, for a reader of the results."""
    backlog: int
    """Jobs of a throughput run: more than it can do in the window, or enough to be sure of its rate."""
    has_bulk: bool = False
    """Whether our bulk API can publish to it."""
    ledger: str = "celery"
    """Its table of results."""
    ledger_key: str = "id"


STOCK_DEFAULT = Stack(
    name="stock-default",
    module="benchmarks.stacks.stock_default",
    says="Celery and kombu's SQS transport, every setting at its default: early acknowledgement, prefetch 4 a slot; results by "
    "Celery's DynamoDB backend.",
    backlog=1_000,
)
STOCK_TUNED = Stack(
    name="stock-tuned",
    module="benchmarks.stacks.stock_tuned",
    says="The same with polling_interval 0, long polls of 20 s, 64 messages in memory, acks_late.",
    backlog=5_000,
)
MILLRACE = Stack(
    name="millrace",
    module="benchmarks.stacks.millrace",
    says="The same program with our transport at its defaults, acks_late; results by our ledger, one conditional write each.",
    backlog=20_000,
    has_bulk=True,
    ledger="benchmark-ledger",
)
STACKS = (STOCK_DEFAULT, STOCK_TUNED, MILLRACE)
