"""Whether queues and buckets refuse what comes in the clear, though the caller's role allows it."""

from collections.abc import Iterable, Mapping
from typing import Any

from botocore.exceptions import ClientError

from app.topology import TOPOLOGY
from app.topology.naming import bucket_name, dead_letter_queue_name, queue_name
from scripts.rehearsal.emulated_aws import EmulatedAws
from scripts.rehearsal.findings import Findings
from scripts.rehearsal.grants import Role

_PROBE = "rehearsal"


def refuse_plain_http(
    aws: EmulatedAws, roles: Iterable[Role], credentials: Mapping[str, Mapping[str, str]], *, prefix: str, findings: Findings
) -> None:
    """The same call with the same role, over TLS and in the clear, to each queue and each bucket."""
    granted = {(grant.action, grant.resource.rpartition(":")[2]): role.name for role in roles for grant in role.grants()}
    queues = [name for queue in TOPOLOGY.queues for name in (queue_name(prefix, queue.name), dead_letter_queue_name(prefix, queue.name))]
    open_queues = [name for name in queues if not _is_queue_closed(aws, name, credentials[granted["sqs:GetQueueAttributes", name]])]
    findings.expect_none(
        open_queues, f"{len(queues)} queues take calls over TLS, and refuse the same ones over plain HTTP", "Queues take plain HTTP"
    )
    buckets = [bucket_name(prefix, bucket.name) for bucket in TOPOLOGY.buckets]
    open_buckets = []
    for bucket in buckets:
        place, role = next(
            (place, role) for (action, place), role in granted.items() if action == "s3:PutObject" and place.startswith(f"{bucket}/")
        )
        if not _is_bucket_closed(aws, bucket, place.removeprefix(f"{bucket}/").rstrip("*") + _PROBE, credentials[role]):
            open_buckets.append(bucket)
    findings.expect_none(
        open_buckets, f"{len(buckets)} buckets take calls over TLS, and refuse the same ones over plain HTTP", "Buckets take plain HTTP"
    )


def _is_queue_closed(aws: EmulatedAws, name: str, credentials: Mapping[str, str]) -> bool:
    url = aws.client("sqs").get_queue_url(QueueName=name)["QueueUrl"]
    over_tls, in_the_clear = (
        _outcome(aws.client("sqs", credentials, is_plain=is_plain).get_queue_attributes, QueueUrl=url, AttributeNames=["All"])
        for is_plain in (False, True)
    )
    return over_tls == "" and in_the_clear.startswith("AccessDenied")


def _is_bucket_closed(aws: EmulatedAws, name: str, key: str, credentials: Mapping[str, str]) -> bool:
    over_tls, in_the_clear = (
        _outcome(aws.client("s3", credentials, is_plain=is_plain).put_object, Bucket=name, Key=key, Body=b"") for is_plain in (False, True)
    )
    aws.client("s3").delete_object(Bucket=name, Key=key)
    return over_tls == "" and in_the_clear.startswith("AccessDenied")


def _outcome(call: Any, **arguments: Any) -> str:
    """The error's code, or nothing."""
    try:
        call(**arguments)
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return ""
