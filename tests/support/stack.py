"""The whole platform as real processes: a deployment of its own per test, on the session's servers."""

import json
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError

import boto3
import psycopg

from app.engine.health.probe import problem_of
from app.topology import TOPOLOGY
from app.topology.naming import dead_letter_queue_name, queue_name, table_name
from tests.support.environment import ACCOUNT_ID, REGION, REPOSITORY, free_port
from tests.support.eventually import eventually
from tests.support.forks import Forks
from tests.support.groups import ProcessMark, kill_group
from tests.support.journals import whole_lines
from tests.support.strict_sqs import StrictSqs

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_sqs import SQSClient

BIN = Path(sys.executable).parent


@dataclass
class Service:
    """One running process of the topology."""

    name: str
    process: "subprocess.Popen[bytes]"
    log: Path
    mark: ProcessMark

    def kill(self) -> None:
        """SIGKILL to the whole process group: no handler, no good-bye."""
        kill_group(self.mark)
        self.process.wait(10)

    def stop(self, within: float = 15) -> int:
        """SIGTERM to the main process, as ECS does, and its exit status."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(within)
            except subprocess.TimeoutExpired:
                self.kill()
        # A worker that ended well leaves no children; one that did not must not leak into the next test.
        kill_group(self.mark)
        return self.process.returncode

    @property
    def is_running(self) -> bool:
        return self.process.poll() is None

    def lines(self) -> list[dict[str, Any]]:
        """Its structured log so far."""
        return [json.loads(line) for line in whole_lines(self.log) if line.startswith("{")]

    def tail(self) -> str:
        return "\n".join(self.log.read_text().splitlines()[-25:])


@dataclass
class Answer:
    status: int
    body: Any
    headers: dict[str, str]


@dataclass
class Stack:
    """A deployment. ``network`` stands between its processes and AWS: it has habits, fails on demand and counts requests."""

    environment: dict[str, str]
    directory: Path
    database: str
    """libpq connection string."""
    aws_url: str
    """For the test's own clients: strict about receipt handles, without habits and faults."""
    network: StrictSqs
    token: str = ""
    repository: Path = REPOSITORY
    """Whose code runs: this one, or a copy of it."""
    inside: tuple[str, ...] = ()
    """What every service's command is an argument of: a program that changes what it sees, and becomes it."""
    services: list[Service] = field(default_factory=list)
    _forks: Forks | None = field(default=None, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    # -- processes ------------------------------------------------------------------------------------------------

    def start(self, *names: str, **variables: str) -> list[Service]:
        """Start services of the topology with the command that ECS uses, and wait until they are healthy."""
        started = [self._spawn(name, variables) for name in names]
        for service in started:
            self._await_health(service, variables)
        return started

    def start_program(self, name: str, code: str) -> Service:
        """Start a service by a program of the test's own, and wait until it is healthy."""
        service = self._spawn(name, {}, [sys.executable, "-c", code])
        self._await_health(service, {})
        return service

    def _spawn(self, name: str, variables: dict[str, str], command: list[str] | None = None) -> Service:
        program, *arguments = TOPOLOGY.service(name).command
        log = self.directory / f"{name}-{len(self.services)}.log"
        pulse = Path(self.environment["PULSE_DIRECTORY"]) / f"{name}.pulse"
        pulse.unlink(missing_ok=True)
        with log.open("wb") as stream:
            process = subprocess.Popen(
                [*self.inside, *(command or [str(BIN / program), *arguments])],
                cwd=self.repository,
                env=self.environment | {"SERVICE": name} | variables,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        service = Service(name, process, log, ProcessMark.of(process.pid))
        self.services.append(service)
        return service

    def _await_health(self, service: Service, variables: dict[str, str]) -> None:
        environment = self.environment | variables

        def problem() -> str | None:
            if not service.is_running:
                raise AssertionError(f"{service.name} ended with status {service.process.returncode}:\n{service.tail()}")
            return problem_of(
                TOPOLOGY.service(service.name), address=environment["WEB_BIND"], pulse_directory=Path(environment["PULSE_DIRECTORY"])
            )

        try:
            eventually(problem, lambda found: found is None, within=40)
        except AssertionError as error:
            raise AssertionError(f"{service.name} is not healthy: {error}\n{service.tail()}") from error

    def manage(self, *arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
        """Run a management command to its end: in a fork if a new process would be no different."""
        if self._may_fork(variables):
            return self._ready.command(arguments, within=60)
        return subprocess.run(
            [sys.executable, "-m", "app.manage", *arguments],
            cwd=self.repository,
            env=self.environment | variables,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def python(self, code: str, **variables: str) -> "subprocess.CompletedProcess[str]":
        """Run code in a process of its own with Django set up: in a fork if a new process would be no different."""
        if self._may_fork(variables):
            return self._ready.run(code, within=120)
        preamble = "from app.config.environment import use_settings\nuse_settings()\nimport django\ndjango.setup()\n"
        return subprocess.run(
            [sys.executable, "-c", preamble + code],
            cwd=self.repository,
            env=self.environment | variables,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    def _may_fork(self, variables: dict[str, str]) -> bool:
        return not variables and self.repository == REPOSITORY  # the code of a copy may have changed since

    @property
    def _ready(self) -> Forks:
        with self._lock:
            if self._forks is not None and self._forks.environment != self.environment:
                self._forks.end()
                self._forks = None
            if self._forks is None:
                self._forks = Forks(self.environment)
            return self._forks

    def stop(self) -> None:
        if self._forks is not None:
            self._forks.end()
        for service in self.services:
            if service.is_running:
                service.process.terminate()
        for service in reversed(self.services):
            service.stop(within=8)
        self.network.close()

    # -- what a client sees -----------------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        return self.environment["PUBLIC_URL"]

    def request(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None, timeout: float = 10) -> Answer:
        request = urllib.request.Request(  # noqa: S310 — our own address
            self.url + path,
            data=None if body is None else json.dumps(body).encode(),
            method=method,
            headers={"Authorization": f"Bearer {self.token}", "Content-Type": "application/json", **(headers or {})},
        )
        try:
            with urllib.request.urlopen(request, timeout=timeout) as response:  # noqa: S310
                return Answer(response.status, json.loads(response.read() or b"null"), dict(response.headers))
        except HTTPError as error:
            with error:
                return Answer(error.code, json.loads(error.read() or b"null"), dict(error.headers))

    def pay(self, payment_method: str = "pm_card_visa", amount: int = 1999, **headers: str) -> str:
        """POST a payment and return its id."""
        answer = self.request(
            "POST",
            "/api/payments",
            {"amount": amount, "currency": "eur", "payment_method": payment_method, "customer_email": "ada@example.com"},
            headers,
        )
        assert answer.status == 201, answer
        identifier: str = answer.body["id"]
        return identifier

    def payment(self, identifier: str) -> Any:
        return self.request("GET", f"/api/payments/{identifier}").body

    def await_state(self, identifiers: Sequence[str], state: str, within: float = 30) -> None:
        for identifier in identifiers:
            eventually(lambda wanted=identifier: self.payment(wanted)["state"], state, within=within)  # type: ignore[misc]

    # -- what an operator sees ------------------------------------------------------------------------------------------

    def query(self, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.database, autocommit=True) as connection:
            cursor = connection.execute(statement, parameters)
            return cursor.fetchall() if cursor.description else []

    @property
    def sqs(self) -> "SQSClient":
        """The test's own client, past the faults and habits of the network."""
        client: SQSClient = _client("sqs", self.aws_url)
        return client

    @property
    def dynamodb(self) -> "DynamoDBClient":
        client: DynamoDBClient = _client("dynamodb", self.aws_url)
        return client

    def queue_url(self, queue: str) -> str:
        return f"{self.aws_url}/{ACCOUNT_ID}/{queue_name(self.environment['NAME_PREFIX'], queue)}"

    def dead_letter_url(self, queue: str) -> str:
        return f"{self.aws_url}/{ACCOUNT_ID}/{dead_letter_queue_name(self.environment['NAME_PREFIX'], queue)}"

    def table(self, table: str) -> str:
        return table_name(self.environment["NAME_PREFIX"], table)

    def depth(self, queue: str) -> tuple[int, int]:
        """Visible and in flight."""
        attributes = self.sqs.get_queue_attributes(
            QueueUrl=self.queue_url(queue), AttributeNames=["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        )["Attributes"]
        return int(attributes["ApproximateNumberOfMessages"]), int(attributes["ApproximateNumberOfMessagesNotVisible"])

    def bury_after(self, queue: str, receives: int) -> None:
        """How often a message may be received before it is a dead letter."""
        dead = self.sqs.get_queue_attributes(QueueUrl=self.dead_letter_url(queue), AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        policy = json.dumps({"deadLetterTargetArn": dead, "maxReceiveCount": receives})
        self.sqs.set_queue_attributes(QueueUrl=self.queue_url(queue), Attributes={"RedrivePolicy": policy})

    def shorten_visibility(self, queue: str, seconds: int) -> None:
        """So that a test need not wait for a crash to be noticed."""
        self.sqs.set_queue_attributes(QueueUrl=self.queue_url(queue), Attributes={"VisibilityTimeout": str(seconds)})


def _client(service: str, url: str) -> Any:
    return boto3.client(service, endpoint_url=url, region_name=REGION, aws_access_key_id="test", aws_secret_access_key="test")


def web_address() -> tuple[str, str]:
    """A bind address and its URL."""
    port = free_port()
    return f"127.0.0.1:{port}", f"http://127.0.0.1:{port}"
