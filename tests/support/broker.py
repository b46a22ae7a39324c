"""A plain Celery program on our transport, with real workers, a queue and its dead letters behind the strict SQS."""

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3

from tests.support.environment import REGION, REPOSITORY
from tests.support.eventually import eventually
from tests.support.groups import ProcessMark, kill_group
from tests.support.journals import whole_lines
from tests.support.strict_sqs import StrictSqs

QUEUE = "jobs"
MAX_RECEIVES = 3
PROGRAM = "tests.support.broker_program"


@dataclass
class Worker:
    process: "subprocess.Popen[bytes]"
    log: Path
    mark: ProcessMark

    def is_running(self) -> bool:
        return self.process.poll() is None

    def stop(self, within: float = 30) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(within)


@dataclass
class Broker:
    """Queues with dead letters behind the strict SQS, and the program's processes."""

    network: StrictSqs
    direct: str
    """The address of the local AWS, without the strict SQS before it."""
    directory: Path
    name: str
    visibility: int = 5
    options: dict[str, Any] = field(default_factory=dict)
    weights: dict[str, int] = field(default_factory=lambda: {QUEUE: 1})
    """The queues, the default one first, with their shares."""
    identity: dict[str, str] = field(default_factory=lambda: {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"})
    """The environment in which a process finds its credentials."""
    workers: list[Worker] = field(default_factory=list)
    program: str = PROGRAM
    """The module of its application."""

    def __post_init__(self) -> None:
        self.sqs = boto3.client("sqs", region_name=REGION, endpoint_url=self.direct, aws_access_key_id="x", aws_secret_access_key="y")
        self.dead_url = self.sqs.create_queue(QueueName=f"{self.name}-dead")["QueueUrl"]
        arn = self.sqs.get_queue_attributes(QueueUrl=self.dead_url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        policy = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": MAX_RECEIVES})
        attributes = {"VisibilityTimeout": str(self.visibility), "RedrivePolicy": policy}
        self.urls = {
            queue: self.sqs.create_queue(QueueName=f"{self.name}-{queue}", Attributes=attributes)["QueueUrl"] for queue in self.weights
        }
        self.url = next(iter(self.urls.values()))

    @property
    def journal(self) -> Path:
        return self.directory / "journal"

    def environment(self, **options: Any) -> dict[str, str]:
        told = {
            "region": REGION,
            "endpoint_url": self.network.url,
            "wait_time_seconds": 2,
            "predefined_queues": {
                queue: {"url": url.replace(self.direct, self.network.url), "weight": self.weights[queue]}
                for queue, url in self.urls.items()
            },
        }
        # A plain program: nothing of Django's, and nothing of this process's AWS.
        bare = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        return (
            bare
            | self.identity
            | {
                "BROKER_PROGRAM": json.dumps({"journal": str(self.journal), "options": told | self.options | options}),
                "PYTHONPATH": str(REPOSITORY),
            }
        )

    def start(self, *arguments: str, program: str | None = None, **options: Any) -> Worker:
        log = self.directory / f"worker-{len(self.workers)}.log"
        with log.open("wb") as stream:
            process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "celery",
                    "-A",
                    program or self.program,
                    "worker",
                    "-n",
                    f"w{len(self.workers)}@h",
                    "-l",
                    "INFO",
                    *arguments,
                ],
                cwd=REPOSITORY,
                env=self.environment(**options),
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        worker = Worker(process, log, ProcessMark.of(process.pid))
        self.workers.append(worker)
        eventually(lambda: " ready." in log.read_text(errors="replace"), bool, within=30)
        return worker

    def send(self, code: str) -> str:
        """Run code in a process of its own that knows the program's tasks; what it printed."""
        done = subprocess.run(
            [sys.executable, "-c", f"from {self.program} import *\n{code}"],
            cwd=REPOSITORY,
            env=self.environment(),
            check=True,
            timeout=60,
            stdout=subprocess.PIPE,
            text=True,
        )
        return done.stdout

    def notes(self, what: str) -> list[tuple[Any, float]]:
        return [(job, at) for kind, job, at, _ in map(json.loads, whole_lines(self.journal)) if kind == what]

    def runs(self, what: str) -> Counter[Any]:
        return Counter(job for job, _ in self.notes(what))

    def dead_letters(self) -> list[dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {}
        while messages := self.sqs.receive_message(
            QueueUrl=self.dead_url, MaxNumberOfMessages=10, MessageAttributeNames=["All"], VisibilityTimeout=600
        ).get("Messages"):
            found |= {message["MessageId"]: message for message in messages}
        return list(found.values())

    def depth(self) -> tuple[int, int]:
        attributes = self.sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=["All"])["Attributes"]
        waiting = int(attributes["ApproximateNumberOfMessages"]) + int(attributes["ApproximateNumberOfMessagesDelayed"])
        return waiting, int(attributes["ApproximateNumberOfMessagesNotVisible"])

    def end(self) -> None:
        for worker in self.workers:
            kill_group(worker.mark)
            worker.process.wait(10)
        self.network.close()
