"""The clients of a transport, one of each per process.

Hot calls go over the wire of our own; everything else, and S3, goes to boto3.
"""

import os
from functools import lru_cache
from typing import Any

from app.engine.aws.wire import SqsClient

#: An event loop or a request may wait for these calls: a black hole may cost seconds, not minutes.
CONNECT_TIMEOUT_SECONDS = 3
READ_TIMEOUT_SECONDS = 10


@lru_cache(maxsize=8)
def sqs_client(region: str, endpoint_url: str | None, access_key: str | None, secret_key: str | None) -> SqsClient:
    """``None`` for the keys is the AWS SDK's own search: environment, profile, task role."""
    return SqsClient(lambda: _boto("sqs", region, endpoint_url, access_key, secret_key, os.getpid()))


def s3_client(region: str, endpoint_url: str | None, access_key: str | None, secret_key: str | None) -> Any:
    return _boto("s3", region, endpoint_url, access_key, secret_key, os.getpid())


@lru_cache(maxsize=16)
def _boto(service: str, region: str, endpoint_url: str | None, access_key: str | None, secret_key: str | None, pid: int) -> Any:  # noqa: ARG001
    """A client and its connections must not cross a fork: the process id is part of the key."""
    import boto3  # a tenth of a second: processes that send nothing do not pay it
    from botocore.config import Config

    session = boto3.session.Session(region_name=region, aws_access_key_id=access_key, aws_secret_access_key=secret_key)
    return session.client(
        service,
        endpoint_url=endpoint_url,
        config=Config(
            connect_timeout=CONNECT_TIMEOUT_SECONDS,
            read_timeout=READ_TIMEOUT_SECONDS,
            retries={"mode": "standard", "total_max_attempts": 2},
            s3={"addressing_style": "path"} if endpoint_url else None,
        ),
    )
