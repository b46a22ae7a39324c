"""A moto server in a process of its own, and what it holds in a comparable form."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import boto3
from botocore.config import Config

REGION = "eu-central-1"

# Ends when its standard input closes, so that it cannot outlive the tests even if they are killed.
_SERVER = """
import os, sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
os._exit(0)
"""

_VOLATILE_QUEUE_ATTRIBUTES = ("CreatedTimestamp", "LastModifiedTimestamp")
_VOLATILE_TABLE_ATTRIBUTES = ("CreationDateTime", "TableId")


@contextmanager
def simulated_aws() -> Iterator[str]:
    """The URL of an empty moto on loopback."""
    command = [sys.executable, "-W", "ignore", "-c", _SERVER]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(server.stdout.readline())}"
        finally:
            server.stdin.close()
            try:
                server.wait(5)
            except subprocess.TimeoutExpired:
                server.kill()


def client(service: str, endpoint_url: str) -> Any:
    session = boto3.session.Session(region_name=REGION, aws_access_key_id="simulated", aws_secret_access_key="simulated")
    config = Config(connect_timeout=3, read_timeout=20, s3={"addressing_style": "path"})
    return session.client(service, endpoint_url=endpoint_url, config=config)


@dataclass(frozen=True, kw_only=True, slots=True)
class Contents:
    """By physical name. What depends on the moment is left out."""

    queues: dict[str, dict[str, str]]
    tables: dict[str, dict[str, Any]]
    buckets: frozenset[str]


def contents(endpoint_url: str) -> Contents:
    sqs, dynamodb, s3 = (client(service, endpoint_url) for service in ("sqs", "dynamodb", "s3"))
    queues = {}
    for url in sqs.list_queues().get("QueueUrls", []):
        attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
        queues[url.rsplit("/", 1)[-1]] = {key: value for key, value in attributes.items() if key not in _VOLATILE_QUEUE_ATTRIBUTES}
    tables = {}
    for name in dynamodb.list_tables()["TableNames"]:
        table = dynamodb.describe_table(TableName=name)["Table"]
        tables[name] = {key: value for key, value in table.items() if key not in _VOLATILE_TABLE_ATTRIBUTES}
    return Contents(queues=queues, tables=tables, buckets=frozenset(bucket["Name"] for bucket in s3.list_buckets()["Buckets"]))
