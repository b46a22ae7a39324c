"""The laptop's AWS, spoken to by boto3."""

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import boto3
import psutil
import pytest
from botocore.config import Config
from moto.cloudwatch.models import cloudwatch_backends
from moto.core.utils import utcnow

from scripts.laptop import aws
from scripts.laptop.loopback import started
from tests.support.eventually import eventually

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import MessageTypeDef

REPOSITORY = Path(__file__).resolve().parents[2]
REGION = "eu-west-1"


def client(service: Any, address: str) -> Any:
    return boto3.client(
        service,
        endpoint_url=address,
        region_name=REGION,
        aws_access_key_id="laptop",
        aws_secret_access_key="laptop",
        config=Config(retries={"total_max_attempts": 1}, max_pool_connections=32),
    )


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with started("scripts.laptop.aws", "--port", "0") as address:
        yield address


class Queue:
    """One queue of the server, under a name of its own."""

    def __init__(self, address: str, **attributes: str) -> None:
        self.sqs: SQSClient = client("sqs", address)
        self.name = f"q-{uuid.uuid4().hex[:12]}"
        self.url = self.sqs.create_queue(QueueName=self.name, Attributes=attributes)["QueueUrl"]

    @property
    def arn(self) -> str:
        return self.attributes("QueueArn")[0]

    def attributes(self, *names: Any) -> list[str]:
        found = self.sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=list(names))["Attributes"]
        return [found[name] for name in names]

    def counts(self) -> list[str]:
        prefix = "ApproximateNumberOfMessages"
        return self.attributes(prefix, f"{prefix}Delayed", f"{prefix}NotVisible")

    def send(self, body: str, delay: int = 0) -> None:
        self.sqs.send_message(QueueUrl=self.url, MessageBody=body, DelaySeconds=delay)

    def send_many(self, count: int) -> set[str]:
        bodies = [str(number) for number in range(count)]
        for start in range(0, count, 10):
            entries: Any = [{"Id": body, "MessageBody": body} for body in bodies[start : start + 10]]
            self.sqs.send_message_batch(QueueUrl=self.url, Entries=entries)
        return set(bodies)

    def receive(self, wait: int = 0, visibility: int = 60) -> "list[MessageTypeDef]":
        answer = self.sqs.receive_message(
            QueueUrl=self.url,
            MaxNumberOfMessages=10,
            WaitTimeSeconds=wait,
            VisibilityTimeout=visibility,
            AttributeNames=["All"],
        )
        return answer.get("Messages", [])

    def bodies(self, wait: int = 0, visibility: int = 60) -> list[str]:
        return [message["Body"] for message in self.receive(wait, visibility)]

    def delete(self, message: "MessageTypeDef") -> None:
        self.sqs.delete_message(QueueUrl=self.url, ReceiptHandle=message["ReceiptHandle"])


@pytest.fixture
def queue(address: str) -> Queue:
    return Queue(address)


def test_eight_receivers_never_get_the_same_message(queue: Queue) -> None:
    sent = queue.send_many(200)

    def drain(_: int) -> list[str]:
        got: list[str] = []
        while bodies := queue.bodies():
            got += bodies
        return got

    with ThreadPoolExecutor(8) as pool:
        received = [body for bodies in pool.map(drain, range(8)) for body in bodies]
    assert len(received) == 200
    assert set(received) == sent


def test_deleting_loses_no_message_that_is_sent_meanwhile(queue: Queue) -> None:
    done: set[str] = set()

    def send(sender: int) -> None:
        for number in range(50):
            queue.send(f"{sender}-{number}")

    def work(_: int) -> None:
        while len(done) < 150:
            for message in queue.receive(wait=1):
                queue.delete(message)
                done.add(message["Body"])

    with ThreadPoolExecutor(6) as pool:
        workers = [pool.submit(work, number) for number in range(3)]
        list(pool.map(send, range(3)))
        eventually(lambda: len(done), 150)
        for worker in workers:
            worker.result()
    assert queue.counts() == ["0", "0", "0"]


def test_a_long_poll_wakes_when_a_message_is_sent(queue: Queue) -> None:
    with ThreadPoolExecutor() as pool:
        poll = pool.submit(lambda: (queue.bodies(wait=10), time.monotonic()))
        with pytest.raises(TimeoutError):
            poll.result(0.5)
        sent_at = time.monotonic()
        queue.send("hello")
        bodies, received_at = poll.result()
    assert bodies == ["hello"]
    assert received_at - sent_at < 5


def test_a_long_poll_on_an_empty_queue_ends_with_nothing_after_its_time(queue: Queue) -> None:
    began = time.monotonic()
    assert queue.bodies(wait=1) == []
    assert 0.9 < time.monotonic() - began < 4


def test_a_delayed_message_arrives_when_it_is_due(queue: Queue) -> None:
    began = time.monotonic()
    queue.send("later", delay=1)
    assert queue.counts() == ["0", "1", "0"]
    assert queue.bodies() == []
    assert queue.bodies(wait=5) == ["later"]
    assert 0.9 < time.monotonic() - began < 4


def test_an_unacknowledged_message_comes_back_when_its_visibility_ends(queue: Queue) -> None:
    queue.send("again")
    began = time.monotonic()
    assert queue.bodies(visibility=1) == ["again"]
    assert queue.counts() == ["0", "0", "1"]
    (message,) = queue.receive(wait=5)
    assert 0.9 < time.monotonic() - began < 4
    assert message["Attributes"]["ApproximateReceiveCount"] == "2"


def test_a_released_message_wakes_a_long_poll(queue: Queue) -> None:
    queue.send("released")
    (message,) = queue.receive()
    with ThreadPoolExecutor() as pool:
        poll = pool.submit(queue.bodies, 10)
        with pytest.raises(TimeoutError):
            poll.result(0.3)
        queue.sqs.change_message_visibility(QueueUrl=queue.url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0)
        assert poll.result(0.5) == ["released"]


def test_a_message_received_too_often_goes_to_the_dead_letter_queue(address: str) -> None:
    dead = Queue(address)
    policy = {"deadLetterTargetArn": dead.arn, "maxReceiveCount": "2"}
    queue = Queue(address, RedrivePolicy=json.dumps(policy))
    queue.send("poison")
    for _ in range(2):
        assert queue.bodies(visibility=0) == ["poison"]
    assert queue.bodies(visibility=0) == []
    assert dead.bodies() == ["poison"]
    assert queue.counts() == ["0", "0", "0"]


def test_the_long_poll_of_a_vanished_client_swallows_no_message(address: str, queue: Queue) -> None:
    polls = [_poll_without_reading(address, queue.url) for _ in range(4)]
    assert queue.bodies(wait=1) == []
    for poll in polls:
        poll.close()
    queue.send("for the living")
    assert queue.bodies(wait=2) == ["for the living"]


def _poll_without_reading(address: str, queue_url: str) -> http.client.HTTPConnection:
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=10)
    connection.request(
        "POST",
        "/",
        body=json.dumps({"QueueUrl": queue_url, "WaitTimeSeconds": 20}),
        headers={
            "Content-Type": "application/x-amz-json-1.0",
            "X-Amz-Target": "AmazonSQS.ReceiveMessage",
            "Authorization": f"AWS4-HMAC-SHA256 Credential=laptop/20260101/{REGION}/sqs/aws4_request, Signature=0",
        },
    )
    return connection


def test_two_thousand_waiting_messages_cost_a_call_less_than_ten_milliseconds() -> None:
    with started("scripts.laptop.aws", "--port", "0") as address:
        server = next(
            psutil.Process(link.pid)
            for link in psutil.Process().children()
            if any(str(socket.laddr.port) in address for socket in link.net_connections() if socket.status == psutil.CONN_LISTEN)
        )
        queue = Queue(address)
        queue.send_many(2000)
        calls = 30
        received: list[MessageTypeDef] = []

        def milliseconds() -> float:
            times = server.cpu_times()
            return (times.user + times.system) * 1000

        started_at = milliseconds()
        for _ in range(calls):
            received += queue.receive()
        received_at = milliseconds()
        for _ in range(calls):
            queue.send("x" * 1000)
        sent_at = milliseconds()
        for message in received[:calls]:
            queue.delete(message)
        deleted_at = milliseconds()
    assert len(received) == 10 * calls
    assert (received_at - started_at) / calls < 10
    assert (sent_at - received_at) / calls < 10
    assert (deleted_at - sent_at) / calls < 10


def test_concurrent_updates_of_an_item_all_count(address: str) -> None:
    dynamodb = client("dynamodb", address)
    dynamodb.create_table(
        TableName="counters",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    barrier = threading.Barrier(8)

    def count(_: int) -> None:
        barrier.wait()
        for _ in range(20):
            dynamodb.update_item(
                TableName="counters",
                Key={"id": {"S": "hits"}},
                UpdateExpression="ADD hits :one",
                ExpressionAttributeValues={":one": {"N": "1"}},
            )

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(count, range(8)))
    item = dynamodb.get_item(TableName="counters", Key={"id": {"S": "hits"}})["Item"]
    assert item["hits"]["N"] == "160"


def test_the_age_of_the_oldest_message_is_in_cloudwatch(address: str, queue: Queue) -> None:
    cloudwatch = client("cloudwatch", address)
    metric = {
        "Namespace": "AWS/SQS",
        "MetricName": "ApproximateAgeOfOldestMessage",
        "Dimensions": [{"Name": "QueueName", "Value": queue.name}],
    }

    def ages() -> list[float]:
        now = datetime.now(UTC)
        answer = cloudwatch.get_metric_data(
            MetricDataQueries=[{"Id": "age", "MetricStat": {"Metric": metric, "Period": 60, "Stat": "Maximum"}}],
            StartTime=now - timedelta(minutes=1),
            EndTime=now + timedelta(minutes=1),
        )
        values: list[float] = answer["MetricDataResults"][0]["Values"]
        return values

    assert eventually(ages) == [0.0]
    queue.send("waiting")
    eventually(lambda: max(ages()), lambda age: 1 <= age < 10)


def test_metric_data_older_than_an_hour_is_forgotten() -> None:
    backend = cloudwatch_backends["123456789012"][REGION]
    for minutes in (120, 61, 59, 0):
        at = utcnow() - timedelta(minutes=minutes)
        backend.put_metric_data("Test", [{"MetricName": str(minutes), "Value": 1, "Timestamp": at}])
    aws.forget_old_metrics()
    assert [datum.name for datum in backend.metric_data] == ["59", "0"]


def test_a_correction_of_something_moto_no_longer_has_fails_at_start() -> None:
    program = "from moto.sqs.models import Queue; del Queue.messages; from scripts.laptop.aws import application; application()"
    done = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "no longer has Queue.messages" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_server_at_once_though_polls_wait_for_twenty_seconds(number: signal.Signals) -> None:
    before = set(psutil.Process().children())
    with started("scripts.laptop.aws", "--port", "0") as address:
        (server,) = set(psutil.Process().children()) - before
        queue = Queue(address)
        poll = _poll_without_reading(address, queue.url)
        assert queue.bodies(wait=1) == []
        os.kill(server.pid, number)
        assert server.wait(10) == 0
        poll.close()
