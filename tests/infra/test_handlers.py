"""The functions that Lambda runs, with an ECS of our own."""

import importlib
from typing import Any

import pytest

from infra.handlers.migrate import MigrationFailed, is_over, start
from infra.handlers.restart import restart
from tests.infra.templates import Templates

ARN = "arn:aws:ecs:eu-central-1:111111111111:task/millrace-dev/0123"
PROPERTIES = {"Cluster": "millrace-dev", "TaskDefinition": "arn:definition", "Subnets": ["a", "b"], "SecurityGroup": "sg"}


def _event(kind: str, **more: Any) -> dict[str, Any]:
    return {"RequestType": kind, "RequestId": "8a2c", "ResourceProperties": PROPERTIES, "Data": {"TaskArn": ARN}, **more}


class Ecs:
    """Answers what it was told to, and remembers what it was asked."""

    def __init__(self, **answers: Any) -> None:
        self._answers = answers
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def __getattr__(self, name: str) -> Any:
        def answer(**asked: Any) -> Any:
            self.asked.append((name, asked))
            found = self._answers.get(name, {})
            if callable(found):
                return found(**asked)
            return found

        return answer


def _stopped(**container: Any) -> Ecs:
    task = {"lastStatus": "STOPPED", "stoppedReason": "Essential container exited", "containers": [{"name": "migrate", **container}]}
    return Ecs(describe_tasks={"tasks": [task]})


def test_each_function_has_a_handler_that_exists_and_time_to_import_boto3(prod: Templates) -> None:
    functions = [one["Properties"] for one in prod.resources("AWS::Lambda::Function") if "python" in one["Properties"]["Runtime"]]

    assert {function["Handler"] for function in functions} == {"migrate.start", "migrate.is_over", "restart.restart"}
    for function in functions:
        module, _, name = function["Handler"].rpartition(".")
        assert callable(getattr(importlib.import_module(f"infra.handlers.{module}"), name))
        assert function["Timeout"] >= 30
        assert function["MemorySize"] >= 256


# -- the migration ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", ["Create", "Update"])
def test_a_release_starts_one_task_inside_of_the_network(kind: str) -> None:
    ecs = Ecs(run_task={"tasks": [{"taskArn": ARN}], "failures": []})

    answer = start(_event(kind), ecs=ecs)

    ((call, asked),) = ecs.asked
    network = asked["networkConfiguration"]["awsvpcConfiguration"]
    assert call == "run_task"
    assert (asked["cluster"], asked["taskDefinition"]) == ("millrace-dev", "arn:definition")
    assert network == {"subnets": ["a", "b"], "securityGroups": ["sg"], "assignPublicIp": "DISABLED"}
    assert answer["Data"] == {"TaskArn": ARN}


def test_a_request_that_comes_twice_starts_nothing_twice() -> None:
    ecs = Ecs(run_task={"tasks": [{"taskArn": ARN}]})

    start(_event("Create"), ecs=ecs)
    start(_event("Create"), ecs=ecs)

    assert {asked["clientToken"] for _, asked in ecs.asked} == {"8a2c"}


def test_an_update_keeps_the_identity_so_that_nothing_is_deleted() -> None:
    ecs = Ecs(run_task={"tasks": [{"taskArn": ARN}]})

    assert start(_event("Create"), ecs=ecs)["PhysicalResourceId"] == start(_event("Update"), ecs=ecs)["PhysicalResourceId"]


def test_a_stack_that_is_deleted_runs_nothing() -> None:
    ecs = Ecs()
    event = _event("Delete", PhysicalResourceId="database-schema")

    assert start(event, ecs=ecs) == {"PhysicalResourceId": "database-schema"}
    assert is_over(event, ecs=ecs) == {"IsComplete": True}
    assert ecs.asked == []


def test_a_task_that_ecs_does_not_start_fails_the_stack() -> None:
    ecs = Ecs(run_task={"tasks": [], "failures": [{"reason": "Capacity is unavailable"}]})

    with pytest.raises(MigrationFailed, match="Capacity is unavailable"):
        start(_event("Create"), ecs=ecs)


@pytest.mark.parametrize("status", ["PROVISIONING", "PENDING", "RUNNING", "DEPROVISIONING"])
def test_a_task_that_goes_on_is_asked_again(status: str) -> None:
    ecs = Ecs(describe_tasks={"tasks": [{"lastStatus": status, "containers": [{}]}]})

    assert is_over(_event("Create"), ecs=ecs) == {"IsComplete": False}
    assert ecs.asked == [("describe_tasks", {"cluster": "millrace-dev", "tasks": [ARN]})]


def test_exit_code_0_lets_the_services_go_on() -> None:
    assert is_over(_event("Update"), ecs=_stopped(exitCode=0)) == {"IsComplete": True}


@pytest.mark.parametrize(
    ("container", "said"),
    [
        ({"exitCode": 1}, r"exit code 1 \(Essential container exited\)"),
        ({"exitCode": 137, "reason": "OutOfMemoryError"}, r"exit code 137 \(OutOfMemoryError\)"),
        ({"reason": "CannotPullContainerError"}, r"exit code none \(CannotPullContainerError\)"),
    ],
)
def test_anything_else_fails_the_stack_and_says_where_to_look(
    container: dict[str, Any], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOG_GROUP", "/millrace-dev/migrate")

    with pytest.raises(MigrationFailed, match=said) as caught:
        is_over(_event("Update"), ecs=_stopped(**container))

    assert "log group /millrace-dev/migrate, stream migrate/migrate/0123" in str(caught.value)


def test_a_task_that_ecs_has_forgotten_fails_the_stack() -> None:
    with pytest.raises(MigrationFailed, match="does not know"):
        is_over(_event("Update"), ecs=Ecs(describe_tasks={"tasks": [], "failures": [{"reason": "MISSING"}]}))


# -- a new password ---------------------------------------------------------------------------------------------------
@pytest.fixture
def two_services(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLUSTER", "millrace-dev")
    monkeypatch.setenv("SERVICES", "web,beat")


@pytest.mark.usefixtures("two_services")
def test_every_service_starts_anew() -> None:
    ecs = Ecs()

    assert restart({}, ecs=ecs) == {"restarted": ["web", "beat"]}
    assert ecs.asked == [
        ("update_service", {"cluster": "millrace-dev", "service": name, "forceNewDeployment": True}) for name in ("web", "beat")
    ]


@pytest.mark.usefixtures("two_services")
def test_one_that_cannot_be_told_does_not_keep_the_others_from_it() -> None:
    def refuse_web(service: str, **_: Any) -> None:
        if service == "web":
            raise PermissionError("web")

    ecs = Ecs(update_service=refuse_web)

    with pytest.raises(PermissionError, match="web"):
        restart({}, ecs=ecs)

    assert [asked["service"] for _, asked in ecs.asked] == ["web", "beat"]
