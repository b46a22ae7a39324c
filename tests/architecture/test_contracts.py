"""The import contracts hold, and each of them would notice: for each a deliberate violation, and exactly that contract fails."""

import tomllib
from collections.abc import Callable

import pytest

from tests.architecture.conftest import Project
from tests.support.environment import REPOSITORY

CONTRACTS = {
    contract["name"]: contract["id"]
    for contract in tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
}


def failing(project: Project) -> set[str]:
    """The ids of the contracts that do not hold."""
    done = project.run("lint-imports", "--no-logo")
    verdicts = {name: line for line in done.stdout.splitlines() for name in CONTRACTS if line.startswith(f"{name} ")}
    assert verdicts.keys() == CONTRACTS.keys(), done.stdout + done.stderr
    broken = {CONTRACTS[name] for name, line in verdicts.items() if "BROKEN" in line}
    assert bool(broken) == bool(done.returncode)
    return broken


def test_every_contract_holds(shared_project: Project) -> None:
    assert failing(shared_project) == set()


VIOLATIONS = [
    ("floors", "app/console/overview.py", "import app.workload.payments.models"),
    ("floors", "app/workload/payments/services.py", "import app.console.overview"),
    ("engine", "app/engine/metrics/emf.py", "import app.engine.aws.clients"),
    ("engine", "app/engine/outbox/publisher.py", "import app.engine.ledger.search"),
    ("engine", "app/engine/aws/clients.py", "import app.engine.outbox.relay"),
    ("engine", "app/engine/newcomer/clocks.py", "HOURS = 24"),
    ("workload", "app/workload/second/services.py", "import app.workload.payments.services"),
    ("infra", "infra/stages.py", "import app.engine.errors"),
    ("infra", "infra/stages.py", "import app.config.schedule"),
    ("infra", "infra/stages.py", "import django"),
    ("infra", "infra/stages.py", "from celery import Celery"),
    ("infra", "infra/stacks/state.py", "import boto3"),
    ("topology", "app/topology/naming.py", "from pydantic import BaseModel"),
    ("topology", "app/topology/tables.py", "from aws_cdk import Duration"),
    ("cycles", "app/topology/policies.py", "import app.topology.alarms"),
    ("cycles", "app/workload/payments/money.py", "import app.workload.payments.services"),
]


def test_every_contract_has_a_violation_below() -> None:
    assert {contract for contract, _, _ in VIOLATIONS} == set(CONTRACTS.values())


@pytest.mark.parametrize(("contract", "path", "line"), VIOLATIONS, ids=[f"{path}: {line}" for _, path, line in VIOLATIONS])
def test_a_violation_breaks_exactly_its_contract(
    shared_project: Project, broken: Callable[[str, str], None], contract: str, path: str, line: str
) -> None:
    broken(path, line)

    assert failing(shared_project) == {contract}


@pytest.mark.parametrize("line", ["from django.conf import settings", "import boto3", "import celery"])
def test_what_the_topology_imports_infra_imports_too(shared_project: Project, broken: Callable[[str, str], None], line: str) -> None:
    broken("app/topology/naming.py", line)

    assert failing(shared_project) == {"topology", "infra"}


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("app/api/schemas.py", "import app.workload.payments.models"),
        ("app/engine/tasks.py", "import app.api.models"),
        ("app/engine/tasks.py", "import app.config.celery"),
        ("app/engine/tasks.py", "import app.console.overview"),
        ("app/engine/tasks.py", "import app.workload.payments.services"),
        ("app/topology/naming.py", "import app.engine.errors"),
    ],
    ids=lambda value: value,
)
def test_an_import_that_points_up_breaks_the_floors_and_closes_a_cycle(
    shared_project: Project, broken: Callable[[str, str], None], path: str, line: str
) -> None:
    broken(path, line)

    assert {"floors", "cycles"} <= failing(shared_project)
