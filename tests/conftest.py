"""Fixtures: the servers of a session, the database of a test, and whole deployments.

Unit tests (tests/unit, tests/architecture) have no network. Everything else may ask for servers, which start on first use.
"""

import itertools
import json
import os
import socket
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from tests.support import environment as test_environment
from tests.support.environment import REGION
from tests.support.eventually import eventually

#: Folders with files that take minutes. They come first, or one of them would go on alone in the end.
SLOW_FIRST = ("faults", "e2e", "integration", "laptop", "infra")
TEMPLATES = "tests/infra/"
WITHOUT_NETWORK = ("tests/unit/", "tests/architecture/")
_numbers = itertools.count(1)

# A machine that other tests have, too, makes examples slowly; what is slow is no bug here. Nothing is kept between two runs.
hypothesis.settings.register_profile("shared", deadline=None, database=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("shared")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def rank(item: pytest.Item) -> int:
        folder = item.nodeid.split("/")[1]
        return SLOW_FIRST.index(folder) if folder in SLOW_FIRST else len(SLOW_FIRST)

    items.sort(key=rank)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """File by file, and the templates in one process: importing the CDK and its first synthesis take ten seconds in each."""
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return TEMPLATES if nodeid.startswith(TEMPLATES) else str(super()._split_scope(nodeid))

    return Scheduling(config, log) if config.getoption("dist") == "loadfile" else None


@pytest.fixture(autouse=True)
def _no_network_in_unit_tests(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.node.nodeid.startswith(WITHOUT_NETWORK):

        def refuse(*_: Any) -> None:
            raise AssertionError("a unit test reached for the network")

        monkeypatch.setattr(socket.socket, "connect", refuse)


# -- servers ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    from scripts.laptop.postgres import Postgres

    with Postgres(tmp_path_factory.mktemp("postgres") / "data") as server:
        yield server
        assert server.exit_status is None, f"PostgreSQL has ended by itself:\n{server.log.read_text()[-2000:]}"


@pytest.fixture(scope="session")
def aws() -> Iterator[str]:
    """The address of the local AWS."""
    from scripts.laptop.loopback import started

    with started("scripts.laptop.aws", "--port", str(test_environment.AWS_PORT)) as address:
        yield address


@pytest.fixture(scope="session")
def _strict_sqs(aws: str) -> Iterator[str]:
    """The address where ports of AWS at its least kind are opened."""
    from scripts.laptop.loopback import started

    with started("tests.support.strict_sqs", "--target", aws) as address:
        yield address


class GatewayServer:
    """The local payment gateway: its journal says what really happened to the money."""

    def __init__(self, url: str) -> None:
        self.url = url

    def journal(self) -> list[dict[str, Any]]:
        entries: list[dict[str, Any]] = self._call("GET", "/_journal")
        return entries

    def captures(self, payment: str | None = None) -> list[dict[str, Any]]:
        return [entry for entry in self.journal() if entry["kind"] == "capture" and payment in (None, entry["payment_id"])]

    def fault(self, operation: str, mode: str, times: int = 1, seconds: float = 0) -> None:
        self._call("POST", "/_faults", {"operation": operation, "mode": mode, "times": times, "seconds": seconds})

    def heal(self) -> None:
        self._call("DELETE", "/_faults")

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        return call_local(method, self.url + path, body)


def call_local(method: str, url: str, body: Any = None) -> Any:
    """What a server of ours on loopback answers."""
    request = urllib.request.Request(  # noqa: S310 — our own address
        url, data=None if body is None else json.dumps(body).encode(), method=method, headers={"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310
        return json.loads(response.read() or b"null")


@pytest.fixture(scope="session")
def _gateway_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayServer]:
    from scripts.laptop.loopback import started

    journal = tmp_path_factory.mktemp("gateway") / "journal.jsonl"
    with started("scripts.laptop.gateway", "--port", str(test_environment.GATEWAY_PORT), "--journal", str(journal)) as address:
        yield GatewayServer(address)


@pytest.fixture
def gateway(_gateway_server: GatewayServer) -> Iterator[GatewayServer]:
    _gateway_server.heal()
    yield _gateway_server
    _gateway_server.heal()


class PartnerServer:
    """The local partner: what it was asked, and how it fails."""

    def __init__(self, url: str) -> None:
        self.url = url

    def journal(self, operation: str = "") -> list[dict[str, Any]]:
        entries: list[dict[str, Any]] = call_local("GET", f"{self.url}/_journal")
        return [entry for entry in entries if operation in ("", entry["operation"])]

    def fault(self, operation: str, mode: str, times: int = 1, location: str = "") -> None:
        call_local("POST", f"{self.url}/_faults", {"operation": operation, "mode": mode, "times": times, "location": location})

    def heal(self) -> None:
        call_local("DELETE", f"{self.url}/_faults")

    def change(self, *users: dict[str, str]) -> None:
        call_local("POST", f"{self.url}/_users", list(users))


@pytest.fixture(scope="session")
def _partner_server() -> Iterator[PartnerServer]:
    from scripts.laptop.loopback import started

    with started("scripts.laptop.partner", "--port", str(test_environment.PARTNER_PORT)) as address:
        yield PartnerServer(address)


@pytest.fixture
def partner(_partner_server: PartnerServer) -> Iterator[PartnerServer]:
    _partner_server.heal()
    yield _partner_server
    _partner_server.heal()


# -- the database of in-process tests ------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def django_db_modify_db_settings(postgres: Any) -> None:
    """Asked for by pytest-django before it makes the test database."""
    from django.conf import settings
    from django.db import connections

    values = {"HOST": postgres.host, "PORT": str(postgres.port), "USER": postgres.user, "PASSWORD": postgres.password}
    settings.DATABASES["default"].update(values)
    connections["default"].settings_dict.update(values)
    os.environ.update({f"DATABASE_{name}": value for name, value in values.items()})


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_teardown() -> None:
    """End the thread that sends what a test committed, before a fixture truncates the tables that it writes to: they would deadlock."""
    if "app.engine.outbox.background" in sys.modules:
        sys.modules["app.engine.outbox.background"].background_relay.stop(within=30)


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, postgres: Any) -> Iterator[None]:
    """PostgreSQL drops no database that somebody is connected to: say who, and what for."""
    import psycopg
    from django.db import connections

    yield
    # pytest-django closes the connection that it began with. Code under test may have replaced it since.
    connections.close_all()

    def connected() -> list[Any]:
        with psycopg.connect(postgres.url, autocommit=True) as connection:
            return connection.execute("SELECT pid, state, query FROM pg_stat_activity WHERE datname LIKE 'test_%'").fetchall()

    eventually(connected, [], within=20)


@pytest.fixture
def api_client(transactional_db: None) -> Any:
    """A client whose token belongs to ``owner``."""
    from django.contrib.auth import get_user_model
    from django.test import Client

    from app.api.tokens import issue_token

    owner = get_user_model().objects.create_user("ada", "ada@example.com", "a-long-password")
    client = Client(headers={"Authorization": f"Bearer {issue_token(owner, 'tests')}"})
    client.owner = owner  # type: ignore[attr-defined]
    return client


# -- plain Celery programs on our transport -----------------------------------------------------------------------


@pytest.fixture
def make_broker(aws: str, _strict_sqs: str, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """``make_broker(visibility=5, options={…})``: a queue of a test's own, whose every run counts."""
    from tests.support.broker import Broker
    from tests.support.strict_sqs import NO_HABITS, StrictSqs

    made: list[Broker] = []

    def make(**options: Any) -> Broker:
        number = next(_numbers)
        # A duplicate that SQS makes would be counted against us.
        network = StrictSqs(_strict_sqs, seed=number, habits=NO_HABITS)
        directory = tmp_path / str(number)
        directory.mkdir()
        broker = Broker(network, aws, directory, f"broker-{number}-{os.getpid()}", **options)
        made.append(broker)
        return broker

    yield make
    for broker in made:
        broker.end()


# -- deployments ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def _migrated_database(postgres: Any) -> str:
    """The name of a migrated database to copy: 60 ms instead of 3 s for each deployment."""
    import subprocess

    import psycopg

    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE migrated")
    values = _database_variables(postgres, "migrated")
    subprocess.run(
        [sys.executable, "-m", "app.manage", "migrate", "--verbosity", "0"],
        cwd=test_environment.REPOSITORY,
        env=_bare_environment() | test_environment.environment(**values),
        check=True,
        timeout=60,
    )
    return "migrated"


def _database_variables(postgres: Any, name: str) -> dict[str, str]:
    return {
        "DATABASE_HOST": postgres.host,
        "DATABASE_PORT": str(postgres.port),
        "DATABASE_NAME": name,
        "DATABASE_USER": postgres.user,
        "DATABASE_PASSWORD": postgres.password,
    }


def _bare_environment() -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), "LANG": "C.UTF-8"}


_SEED = """
from django.contrib.auth import get_user_model
from app.api.tokens import issue_token
user = get_user_model().objects.create_superuser("operator", "operator@example.com", "operator-password")
print(issue_token(user, "tests"))
"""


@pytest.fixture(scope="session")
def _make_stack(
    postgres: Any, aws: str, _strict_sqs: str, _migrated_database: str, _gateway_server: GatewayServer, _partner_server: PartnerServer
) -> Callable[[Path], Any]:
    from app.engine.aws.provision import provision
    from app.topology import TOPOLOGY
    from tests.support.stack import Stack, web_address
    from tests.support.strict_sqs import NO_HABITS, StrictSqs

    own_clients = StrictSqs(_strict_sqs, seed=0, habits=NO_HABITS)

    def make(directory: Path) -> Any:
        import psycopg

        number = next(_numbers)
        prefix, database = f"millrace-t{number}", f"stack_{number}"
        with psycopg.connect(postgres.url, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {database} TEMPLATE {_migrated_database}")
        provision(TOPOLOGY, name_prefix=prefix, region=REGION, endpoint_url=aws)
        network = StrictSqs(_strict_sqs, seed=number)
        for name in ("pulse", "mail"):
            (directory / name).mkdir()
        bind, url = web_address()
        values = _database_variables(postgres, database) | {
            "NAME_PREFIX": prefix,
            "AWS_ENDPOINT_URL": network.url,
            "STRIPE_API_BASE": _gateway_server.url,
            "PARTNER_API_BASE": _partner_server.url,
            "PUBLIC_URL": url,
            "WEB_BIND": bind,
            "PULSE_DIRECTORY": str(directory / "pulse"),
            "EMAIL_URL": f"file://{directory}/mail",
        }
        stack = Stack(
            environment=_bare_environment() | test_environment.environment(**values),
            directory=directory,
            database=postgres.url.rsplit("/", 1)[0] + f"/{database}",
            aws_url=own_clients.url,
            network=network,
        )
        seeded = stack.python(_SEED)
        assert seeded.returncode == 0, seeded.stderr
        stack.token = seeded.stdout.strip().splitlines()[-1]
        return stack

    return make


@pytest.fixture
def stack(_make_stack: Callable[[Path], Any], tmp_path: Path, gateway: GatewayServer) -> Iterator[Any]:
    """A deployment with nothing running yet: ``stack.start("web", "worker-default")``."""
    deployment = _make_stack(tmp_path)
    yield deployment
    deployment.stop()


class Site:
    """The running site of the browser tests."""

    def __init__(self, deployment: Any) -> None:
        self.stack = deployment
        self.url: str = deployment.url
        self.username = "operator"
        self.password = "operator-password"


@pytest.fixture(scope="module")
def site(_make_stack: Callable[[Path], Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A deployment with everything running and a few payments made. It ends with its module: idle, it has a fifth of this machine."""
    from app.topology import TOPOLOGY

    deployment = _make_stack(tmp_path_factory.mktemp("site"))
    deployment.start(*(service.name for service in TOPOLOGY.services))
    paid = [deployment.pay() for _ in range(3)]
    declined = deployment.pay("pm_card_chargeDeclined")
    deployment.await_state(paid, "captured")
    deployment.await_state([declined], "failed")
    yield Site(deployment)
    deployment.stop()
