"""The DynamoDB tables. What people search for is an index here."""

from app.topology.policies import IndexPolicy, KeyAttribute, KeyType, TablePolicy

LEDGER = TablePolicy(
    name="ledger",
    purpose="Every job by its id: that it was enqueued, the claim of its run, its last known state and its result. Every dead letter.",
    partition_key=KeyAttribute(name="id"),
    ttl_attribute="ttl",
    indexes=(
        IndexPolicy(
            name="latest",
            partition_key=KeyAttribute(name="day_shard"),
            sort_key=KeyAttribute(name="recorded_at", type=KeyType.NUMBER),
            projected=("task", "queue", "state", "attempts", "worker", "error", "run_ms"),
        ),
        # Sparse: only jobs that failed, are dead, are retried or were cancelled.
        IndexPolicy(
            name="state",
            partition_key=KeyAttribute(name="state_shard"),
            sort_key=KeyAttribute(name="recorded_at", type=KeyType.NUMBER),
            projected=("task", "queue", "state", "attempts", "worker", "error", "fingerprint", "run_ms"),
        ),
        # Only failures.
        IndexPolicy(
            name="fingerprint",
            partition_key=KeyAttribute(name="fingerprint_shard"),
            sort_key=KeyAttribute(name="recorded_at", type=KeyType.NUMBER),
            projected=("task", "queue", "state", "attempts", "worker", "error", "fingerprint", "run_ms"),
        ),
        # Only what was enqueued for a tenant, from then on.
        IndexPolicy(
            name="tenant",
            partition_key=KeyAttribute(name="tenant_shard"),
            sort_key=KeyAttribute(name="recorded_at", type=KeyType.NUMBER),
            projected=("task", "queue", "tenant"),
        ),
        # Only dead letters.
        IndexPolicy(
            name="dead_letters",
            partition_key=KeyAttribute(name="letters_of"),
            sort_key=KeyAttribute(name="died_at", type=KeyType.NUMBER),
            projected=(
                *("state", "queue", "message_id", "task", "task_id", "tenant", "reason", "exception", "message", "fingerprint"),
                *("attempts", "release", "entered_at", "body_bytes", "redrives", "missed", "by", "until", "ended_at", "problem", "ttl"),
            ),
        ),
    ),
)

WORKERS = TablePolicy(
    name="workers",
    purpose="One item per worker, beat and relay, renewed by its heartbeat; that of one that was lost stays for an hour.",
    partition_key=KeyAttribute(name="hostname"),
    ttl_attribute="ttl",
)

MAILBOX = TablePolicy(
    name="mailbox",
    purpose="Remote control: the log of commands, revocations and pauses, which every worker reads, and the workers' answers.",
    partition_key=KeyAttribute(name="box"),
    sort_key=KeyAttribute(name="letter"),
    ttl_attribute="ttl",
)

BREAKERS = TablePolicy(
    name="breakers",
    purpose="One item per circuit breaker: failures in a row, until when no call may leave, who holds the probe.",
    partition_key=KeyAttribute(name="name"),
    ttl_attribute="ttl",
)

TABLES = (LEDGER, WORKERS, MAILBOX, BREAKERS)
