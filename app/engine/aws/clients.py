"""One boto3 client per service and process.

A client and its connections must not cross a fork, so the cache is keyed by the process id.
"""

import os
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from app.engine.aws.wire import DynamoClient
from app.engine.conf import EngineSettings

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_sqs import SQSClient

#: A worker's event loop waits for these calls, so that a black hole may cost seconds, not minutes.
CONNECT_TIMEOUT_SECONDS = 3
READ_TIMEOUT_SECONDS = 10
#: A single item is written in milliseconds. Who waits for longer than this waits for nothing.
LEAN_ANSWER_TIMEOUT_SECONDS = 5
#: Threads of one process that may talk to one service at a time.
MAX_CONNECTIONS = 25


def sqs(settings: EngineSettings) -> "SQSClient":
    client: SQSClient = _client("sqs", settings)
    return client


def dynamodb(settings: EngineSettings) -> "DynamoDBClient":
    client: DynamoDBClient = _client("dynamodb", settings)
    return client


def lean_dynamodb(settings: EngineSettings) -> DynamoClient:
    """The client for the calls that every job makes; it goes on in forked children."""
    return _lean_dynamodb(settings.region, settings.endpoint_url)


def s3(settings: EngineSettings) -> Any:
    return _client("s3", settings)


def ecs(settings: EngineSettings) -> Any:
    return _client("ecs", settings)


def cloudwatch(settings: EngineSettings) -> "CloudWatchClient":
    client: CloudWatchClient = _client("cloudwatch", settings)
    return client


@lru_cache(maxsize=4)
def _lean_dynamodb(region: str, endpoint_url: str | None) -> DynamoClient:
    return DynamoClient(
        lambda: _client_of_process("dynamodb", region, endpoint_url, os.getpid()),
        connect_timeout=CONNECT_TIMEOUT_SECONDS,
        answer_timeout=LEAN_ANSWER_TIMEOUT_SECONDS,
    )


def _client(service: str, settings: EngineSettings) -> Any:
    return _client_of_process(service, settings.region, settings.endpoint_url, os.getpid())


@lru_cache(maxsize=16)
def _client_of_process(service: str, region: str, endpoint_url: str | None, pid: int) -> Any:  # noqa: ARG001 — part of the key
    import boto3  # a tenth of a second: web processes that never call AWS do not pay it
    from botocore.config import Config

    return boto3.session.Session(region_name=region).client(
        service,
        endpoint_url=endpoint_url,
        config=Config(
            connect_timeout=CONNECT_TIMEOUT_SECONDS,
            read_timeout=READ_TIMEOUT_SECONDS,
            retries={"mode": "standard", "total_max_attempts": 2},
            max_pool_connections=MAX_CONNECTIONS,
            # A simulated S3 has no host name for each bucket.
            s3={"addressing_style": "path"} if endpoint_url else None,
        ),
    )
