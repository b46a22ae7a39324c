"""What stands in for AWS, RDS and Stripe during a session, started at the same time and made ready for the services."""

import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import psutil

from scripts.laptop.background import Background
from scripts.laptop.environment import NAME_PREFIX, REGION, Addresses, Database, bare_environment
from scripts.laptop.last_words import last_words
from scripts.laptop.session import LOOK_EVERY, Child, Session, SessionFailed, describe_end

if TYPE_CHECKING:
    from scripts.laptop.postgres import Postgres

_SECONDS_TO_NOTICE = 0.5
T = TypeVar("T")


class Backing:
    """The four servers of one session. AWS and the partner forget everything when they end; PostgreSQL and the gateway remember."""

    def __init__(self, session: Session, addresses: Addresses, repository: Path, *, has_aws: bool = True) -> None:
        """``has_aws=False``: somebody else has an AWS at the address, and fills it."""
        self.journal = session.var / "gateway.jsonl"
        self.cluster = (session.var / "postgres").resolve() / "cluster"
        self._session = session
        self._addresses = addresses
        self._repository = repository
        self._has_aws = has_aws
        self._postgres: Postgres | None = None
        self._servers: list[Child] = []
        self._database: Background[Database] | None = None
        self._aws: Background[None] | None = None

    def start(self) -> None:
        """Start everything and return at once."""
        if self._has_aws:
            aws = self._start("aws", "scripts.laptop.aws", "--port", str(self._addresses.aws_port))
            self._aws = Background("provision", lambda: self._provision(aws))
        self._start("gateway", "scripts.laptop.gateway", "--port", str(self._addresses.gateway_port), "--journal", str(self.journal))
        self._start("partner", "scripts.laptop.partner", "--port", str(self._addresses.partner_port))
        self._session.record.postgres = str(self.cluster)
        self._session.record.write()
        self._session.before_servers_end.append(self._stop_postgres)
        self._database = Background("postgres", self._start_postgres)
        self._session.watchers.append(self._watch)

    def database(self) -> Database:
        """Waits for PostgreSQL. Raises :class:`SessionFailed`."""
        return self._wait_for(self._database, "PostgreSQL")

    def wait_until_provisioned(self) -> None:
        """Wait until every queue, table and bucket of the topology exists, and the gateway and the partner answer. Raises :class:`SessionFailed`."""
        if self._has_aws:
            self._wait_for(self._aws, "AWS")
        self._session.wait_until(lambda: all(map(_is_listening, self._servers)), lambda: "waiting for the payment gateway and the partner")

    def _wait_for(self, work: Background[T] | None, what: str) -> T:
        if work is None:
            raise RuntimeError(f"Call start() before waiting for {what}.")
        self._session.wait_until(lambda: work.is_done, lambda: f"waiting for {what}")
        return work.result()

    def _start(self, name: str, *module: str) -> Child:
        server = self._session.start(name, [sys.executable, "-m", *module], bare_environment(), self._repository, is_server=True)
        self._servers.append(server)
        return server

    def _start_postgres(self) -> Database:
        from scripts.laptop.postgres import Postgres, PostgresFailed  # its driver is slow to import, and AWS slower to start

        self._postgres = server = Postgres(self.cluster.parent)
        try:
            server.start()
        except PostgresFailed as error:
            raise SessionFailed(str(error)) from error
        return database_of(server)

    def _stop_postgres(self) -> None:
        if self._database is not None:
            self._database.wait(_SECONDS_TO_NOTICE)
            if not self._database.is_done:  # its first start takes seconds, and is worth nothing half-way
                for process in psutil.Process().children():
                    with suppress(psutil.NoSuchProcess):
                        if process.name() in ("initdb", "postgres"):
                            process.kill()
                self._database.wait(_SECONDS_TO_NOTICE)
        if self._postgres is not None:
            self._postgres.stop()

    def _provision(self, aws: Child) -> None:
        # Imported while the server starts: boto3 is the slowest thing in this process.
        import boto3  # noqa: F401

        from app.engine.aws.provision import provision
        from app.engine.errors import EngineError
        from app.topology import TOPOLOGY

        while not _is_listening(aws):
            if aws.exit_status is not None:
                return  # the watcher reports it
            time.sleep(LOOK_EVERY.total_seconds() / 5)
        try:
            provision(TOPOLOGY, name_prefix=NAME_PREFIX, region=REGION, endpoint_url=self._addresses.aws)
        except EngineError as error:
            raise SessionFailed(str(error)) from error

    def _watch(self) -> None:
        for server in self._servers:
            _check_alive(server.name, server.exit_status, server.log)
        # Until it is up its own thread tries again, and reports.
        if self._postgres is not None and self._database is not None and self._database.is_done:
            _check_alive("PostgreSQL", self._postgres.exit_status, self._postgres.log)


def database_of(server: "Postgres") -> Database:
    return Database(host=server.host, port=server.port, name=server.database, user=server.user, password=server.password)


def _check_alive(name: str, exit_status: int | None, log: Path) -> None:
    if exit_status is not None:
        raise SessionFailed(f"{name} {describe_end(exit_status)}; nothing works without it. The end of {log}:\n{last_words(log)}")


def _is_listening(server: Child) -> bool:
    """Its first line is its address (see ``loopback.serve``)."""
    return "http://" in server.log.read_text(errors="replace")
