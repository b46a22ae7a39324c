"""One topology, two makers: whether what CloudFormation deployed is what the provisioner makes and the topology says.

Limit: the emulator's CloudFormation drops the time to live of tables; that template and topology agree on it is tested in tests/infra.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from app.topology import QueuePolicy, Topology
from app.topology.naming import bucket_name, dead_letter_queue_name, queue_name, table_name

#: Without a meaning, or of the moment.
_VOLATILE = {
    *("QueueArn", "CreatedTimestamp", "LastModifiedTimestamp"),
    *("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesDelayed", "ApproximateNumberOfMessagesNotVisible"),
    *("CreationDateTime", "TableId", "TableArn", "TableStatus", "ItemCount", "TableSizeBytes", "LatestStreamArn", "LatestStreamLabel"),
    *("IndexArn", "IndexSizeBytes", "IndexStatus", "ProvisionedThroughput", "LastUpdateToPayPerRequestDateTime", "WarmThroughput"),
}
#: What only the template says: a simulated AWS on a laptop encrypts nothing and is spoken to over plain HTTP.
_TEMPLATE_ONLY = {"Policy", "SqsManagedSseEnabled", "RedriveAllowPolicy", "SSEDescription", "DeletionProtectionEnabled"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Contents:
    """By logical name: physical ones without their prefix."""

    queues: Mapping[str, Mapping[str, Any]]
    tables: Mapping[str, Mapping[str, Any]]
    buckets: frozenset[str]


def contents(client: Callable[[str], Any], prefix: str) -> Contents:
    """Everything whose name begins with the prefix, without what depends on the moment."""
    sqs, dynamodb, s3 = client("sqs"), client("dynamodb"), client("s3")
    begin = f"{prefix}-"
    queues = {}
    for url in sqs.list_queues(QueueNamePrefix=begin).get("QueueUrls", []):
        attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
        queues[url.rpartition("/")[2].removeprefix(begin)] = _plain({key: _read(value) for key, value in attributes.items()}, begin)
    tables = {}
    for name in dynamodb.list_tables()["TableNames"]:
        if name.startswith(begin):
            table = dynamodb.describe_table(TableName=name)["Table"]
            tables[name.removeprefix(begin)] = _plain(table, begin)
    names = {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]}
    return Contents(queues=queues, tables=tables, buckets=frozenset(name.removeprefix(begin) for name in names if name.startswith(begin)))


def disagreements(deployed: Contents, provisioned: Contents, topology: Topology) -> list[str]:
    """Where template, provisioner and topology do not say the same, in words."""
    found = []
    for kind in ("queues", "tables"):
        of_template, of_provisioner = getattr(deployed, kind), getattr(provisioned, kind)
        for name in sorted({*of_template, *of_provisioner}):
            one, other = of_template.get(name), of_provisioner.get(name)
            if one is None or other is None:
                found.append(f"{kind}: {name} is made by the {'provisioner' if one is None else 'template'} only")
                continue
            found += [
                f"{kind}: {name}: {key}: the template makes {one.get(key)!r}, the provisioner {other.get(key)!r}"
                for key in sorted({*one, *other} - _TEMPLATE_ONLY)
                if one.get(key) != other.get(key)
            ]
    if deployed.buckets != provisioned.buckets:
        found.append(f"buckets: the template makes {sorted(deployed.buckets)}, the provisioner {sorted(provisioned.buckets)}")
    return found + _against_topology(deployed, topology)


def _against_topology(deployed: Contents, topology: Topology) -> list[str]:
    found = []
    expected = {name: wanted for queue in topology.queues for name, wanted in _expected(queue).items()}
    for name in sorted({*expected, *deployed.queues}):
        there, wanted = deployed.queues.get(name, {}), expected.get(name)
        if wanted is None:
            found.append(f"queues: {name} is not in the topology")
            continue
        found += [
            f"queues: {name}: {key}: the topology says {value!r}, the template makes {there.get(key)!r}"
            for key, value in wanted.items()
            if there.get(key) != value
        ]
    for policy in topology.tables:
        table = deployed.tables.get(policy.name, {})
        keys = {key["AttributeName"] for key in table.get("AttributeDefinitions", ())}
        indexes = {index["IndexName"] for index in table.get("GlobalSecondaryIndexes", ())}
        if keys != {key.name for key in policy.key_attributes()} or indexes != {index.name for index in policy.indexes}:
            found.append(f"tables: {policy.name}: keys {sorted(keys)} and indexes {sorted(indexes)} are not those of the topology")
    kinds = (
        ("tables", set(deployed.tables), {policy.name for policy in topology.tables}),
        ("buckets", set(deployed.buckets), {policy.name for policy in topology.buckets}),
    )
    return found + [f"{kind}: the template makes {sorted(there)}, not {sorted(wanted)}" for kind, there, wanted in kinds if there != wanted]


def _expected(queue: QueuePolicy) -> dict[str, dict[str, Any]]:
    dead_letters = dead_letter_queue_name("", queue.name).removeprefix("-")
    seconds = {"VisibilityTimeout": queue.visibility_timeout, "MessageRetentionPeriod": queue.retention}
    return {
        dead_letters: {"MessageRetentionPeriod": int(queue.dead_letter_retention.total_seconds()), "RedrivePolicy": None},
        queue_name("", queue.name).removeprefix("-"): {
            **{key: int(duration.total_seconds()) for key, duration in seconds.items()},
            "RedrivePolicy": {"deadLetterTargetArn": dead_letters, "maxReceiveCount": queue.max_receive_count},
        },
    }


def physical_names(topology: Topology, prefix: str) -> list[str]:
    """Of everything that holds something and must be gone after the last stack is."""
    return [
        *(name for queue in topology.queues for name in (queue_name(prefix, queue.name), dead_letter_queue_name(prefix, queue.name))),
        *(table_name(prefix, table.name) for table in topology.tables),
        *(bucket_name(prefix, bucket.name) for bucket in topology.buckets),
    ]


def _read(value: str) -> Any:
    """Attributes of queues are texts; some hold JSON."""
    try:
        return json.loads(value)
    except ValueError:
        return value


def _plain(value: Any, begin: str) -> Any:
    if isinstance(value, dict):
        return {key: _plain(entry, begin) for key, entry in sorted(value.items()) if key not in _VOLATILE}
    if isinstance(value, list):
        return sorted((_plain(entry, begin) for entry in value), key=repr)
    if isinstance(value, str) and begin in value:
        return value.rpartition(begin)[2]
    return value
