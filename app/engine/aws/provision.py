"""Makes the topology in a simulated AWS. The real one is made by the CDK from the same topology.

Limit: what a simulation ignores (encryption, TLS-only policies, point-in-time recovery, alarms) stands in ``infra`` only.
"""

import json
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from app.engine.aws.errors import translated
from app.engine.errors import PermanentError
from app.topology import BucketPolicy, IndexPolicy, KeyAttribute, QueuePolicy, TablePolicy, Topology
from app.topology.naming import bucket_name, check_prefix, dead_letter_queue_name, queue_name, table_name

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_sqs import SQSClient

_REAL_AWS = (".amazonaws.com", ".amazonaws.com.cn", ".api.aws")


class ProvisioningRefused(PermanentError):
    """There is no simulated AWS at the endpoint, or it holds a table of the same name with other keys."""


def provision(topology: Topology, *, name_prefix: str, region: str, endpoint_url: str) -> None:
    """Make every queue, table and bucket. Calling it again updates what differs and succeeds.

    A table whose keys or indexes differ is refused, not changed: begin with an empty simulation.
    Never reaches real AWS: it refuses to without ``endpoint_url``, and its credentials are made up.
    """
    check_prefix(name_prefix)
    _check_is_simulated(endpoint_url)
    with translated(f"provision the topology at {endpoint_url}"):
        client = _clients(region, endpoint_url)
        sqs: SQSClient = client("sqs")
        for queue in topology.queues:
            _make_queue(sqs, queue, name_prefix)
        dynamodb: DynamoDBClient = client("dynamodb")
        for table in topology.tables:
            _make_table(dynamodb, table, name_prefix)
        s3 = client("s3")
        for bucket in topology.buckets:
            _make_bucket(s3, bucket, name_prefix, region)


def _check_is_simulated(endpoint_url: str) -> None:
    host = urlsplit(endpoint_url).hostname if endpoint_url else None
    if not host:
        raise ProvisioningRefused(
            f"expected the URL of a simulated AWS such as http://127.0.0.1:5000, got {endpoint_url!r}. Real AWS is made by the CDK: scripts/synth"
        )
    if host.endswith(_REAL_AWS):
        raise ProvisioningRefused(f"{endpoint_url} is the real AWS, which is made by the CDK: scripts/synth")


def _clients(region: str, endpoint_url: str) -> Callable[[str], Any]:
    import boto3  # a tenth of a second: whoever only needs ProvisioningRefused does not pay it
    from botocore.config import Config

    session = boto3.session.Session(region_name=region, aws_access_key_id="simulated", aws_secret_access_key="simulated")  # noqa: S106 — made up
    config = Config(
        connect_timeout=3, read_timeout=10, retries={"mode": "standard", "total_max_attempts": 3}, s3={"addressing_style": "path"}
    )
    return partial(session.client, endpoint_url=endpoint_url, config=config)


def _seconds(duration: timedelta) -> str:
    return str(int(duration.total_seconds()))


def _make_queue(sqs: "SQSClient", policy: QueuePolicy, name_prefix: str) -> None:
    # Creating without attributes finds an existing queue whatever its attributes are; setting them does for both.
    dead_letters = sqs.create_queue(QueueName=dead_letter_queue_name(name_prefix, policy.name))["QueueUrl"]
    sqs.set_queue_attributes(QueueUrl=dead_letters, Attributes={"MessageRetentionPeriod": _seconds(policy.dead_letter_retention)})
    dead_letters_arn = sqs.get_queue_attributes(QueueUrl=dead_letters, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    queue = sqs.create_queue(QueueName=queue_name(name_prefix, policy.name))["QueueUrl"]
    sqs.set_queue_attributes(
        QueueUrl=queue,
        Attributes={
            "VisibilityTimeout": _seconds(policy.visibility_timeout),
            "MessageRetentionPeriod": _seconds(policy.retention),
            "RedrivePolicy": json.dumps({"deadLetterTargetArn": dead_letters_arn, "maxReceiveCount": policy.max_receive_count}),
        },
    )


def _key_schema(partition_key: KeyAttribute, sort_key: KeyAttribute | None = None) -> list[dict[str, str]]:
    schema = [{"AttributeName": partition_key.name, "KeyType": "HASH"}]
    return [*schema, {"AttributeName": sort_key.name, "KeyType": "RANGE"}] if sort_key else schema


def _index(policy: IndexPolicy) -> dict[str, Any]:
    return {
        "IndexName": policy.name,
        "KeySchema": _key_schema(policy.partition_key, policy.sort_key),
        "Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": list(policy.projected)},
    }


def _make_table(dynamodb: "DynamoDBClient", policy: TablePolicy, name_prefix: str) -> None:
    name = table_name(name_prefix, policy.name)
    request: dict[str, Any] = {
        "TableName": name,
        "AttributeDefinitions": [{"AttributeName": key.name, "AttributeType": str(key.type)} for key in policy.key_attributes()],
        "KeySchema": _key_schema(policy.partition_key, policy.sort_key),
        "BillingMode": "PAY_PER_REQUEST",
    }
    if policy.indexes:  # an empty list is refused
        request["GlobalSecondaryIndexes"] = [_index(index) for index in policy.indexes]
    try:
        dynamodb.create_table(**request)
    except dynamodb.exceptions.ResourceInUseException:
        _check_table_fits(request, dict(dynamodb.describe_table(TableName=name)["Table"]))
    ttl = dynamodb.describe_time_to_live(TableName=name)["TimeToLiveDescription"]
    if ttl.get("TimeToLiveStatus") != "ENABLED":
        dynamodb.update_time_to_live(TableName=name, TimeToLiveSpecification={"Enabled": True, "AttributeName": policy.ttl_attribute})


def _check_table_fits(wanted: dict[str, Any], existing: dict[str, Any]) -> None:
    for field in ("AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes"):
        if _comparable(wanted.get(field, ())) != _comparable(existing.get(field, ())):
            raise ProvisioningRefused(
                f"The table {wanted['TableName']} exists with other {field}: expected {wanted.get(field)}, got {existing.get(field)}. "
                "Restart the simulated AWS; it forgets everything"
            )


def _comparable(descriptions: Iterable[dict[str, Any]]) -> list[str]:
    """What we asked for, without the order and the counters that a description adds."""
    asked = ("AttributeName", "AttributeType", "KeyType", "IndexName", "KeySchema", "Projection")
    return sorted(json.dumps({key: value for key, value in one.items() if key in asked}, sort_keys=True) for one in descriptions)


def _make_bucket(s3: Any, policy: BucketPolicy, name_prefix: str, region: str) -> None:
    name = bucket_name(name_prefix, policy.name)
    # us-east-1 is the default and may not be named.
    location = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
    with suppress(s3.exceptions.BucketAlreadyOwnedByYou):
        s3.create_bucket(Bucket=name, **location)
    rule: dict[str, Any] = {"ID": "expire", "Status": "Enabled", "Filter": {"Prefix": ""}}
    if policy.expire_after is not None:
        rule["Expiration"] = {"Days": policy.expire_after.days}
    rule["AbortIncompleteMultipartUpload"] = {"DaysAfterInitiation": policy.unfinished_uploads_expire_after.days}
    s3.put_bucket_lifecycle_configuration(Bucket=name, LifecycleConfiguration={"Rules": [rule]})
