"""What people run from a terminal, against a server that speaks AWS: no task without a service, an answer for each end, no deployment unasked."""

import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from scripts.cloud import deploy
from scripts.cloud.cdk import words
from scripts.cloud.one_off import OneOffFailed, run_like
from scripts.cloud.smoke import await_health

AT_ONCE = timedelta(0)


class Ecs:
    """ECS's answers to what a one-off asks, one task that is over at the second look."""

    def __init__(self, *, status: str = "ACTIVE", exit_code: int | None = 0) -> None:
        self.started: dict[str, Any] = {}
        self._status = status
        self._exit_code = exit_code
        self._looks = 0

    def describe_services(self, **_: Any) -> dict[str, Any]:
        return {"services": [{"status": self._status, "taskDefinition": "relay:7", "networkConfiguration": {"awsvpcConfiguration": {}}}]}

    def run_task(self, **asked: Any) -> dict[str, Any]:
        self.started = asked
        return {"tasks": [{"taskArn": "arn:aws:ecs:eu-central-1:123456789012:task/shop/1"}], "failures": []}

    def describe_tasks(self, **_: Any) -> dict[str, Any]:
        self._looks += 1
        status = "STOPPED" if self._looks > 1 else "RUNNING"
        container = {"name": "outbox-relay", **({} if self._exit_code is None else {"exitCode": self._exit_code})}
        return {"tasks": [{"lastStatus": status, "containers": [container], "stoppedReason": "CannotPullContainerError"}]}


class Logs:
    class exceptions:  # noqa: N801 — as boto3 has it
        class ResourceNotFoundException(Exception):
            pass

    def get_log_events(self, *, logGroupName: str, logStreamName: str, **_: Any) -> dict[str, Any]:  # noqa: N803
        assert (logGroupName, logStreamName) == ("/shop/outbox-relay", "outbox-relay/outbox-relay/1")
        return {"events": [{"message": "sent back: 1"}]}


def run(ecs: Ecs) -> Any:
    clients = {"ecs": ecs, "logs": Logs()}
    command = ["python", "-m", "app.manage", "check"]
    return run_like(
        "outbox-relay", command, prefix="shop", client=clients.__getitem__, started_by="a test", tell=lambda _: None, look_every=AT_ONCE
    )


def test_a_command_runs_in_the_place_of_a_service_and_shows_its_lines() -> None:
    ecs = Ecs()

    ended = run(ecs)

    assert (ended.exit_code, ended.lines) == (0, ("sent back: 1",))
    assert ecs.started["taskDefinition"] == "relay:7"
    assert ecs.started["overrides"] == {
        "containerOverrides": [{"name": "outbox-relay", "command": ["python", "-m", "app.manage", "check"]}]
    }


def test_a_container_that_never_began_says_why() -> None:
    ended = run(Ecs(exit_code=None))

    assert (ended.exit_code, ended.reason) == (None, "CannotPullContainerError")


def test_without_the_service_nothing_is_started() -> None:
    ecs = Ecs(status="INACTIVE")

    with pytest.raises(OneOffFailed, match="There is no service shop-outbox-relay in the cluster shop"):
        run(ecs)
    assert ecs.started == {}


# -- smoke test ----------------------------------------------------------------------------------------------------
@pytest.fixture
def answers() -> Iterator[tuple[str, dict[str, list[int]]]]:
    """A web server, and what it answers to each path; the last answer stays."""
    told: dict[str, list[int]] = {"/health/live": [200], "/health/ready": [200]}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status = told[self.path].pop(0) if len(told[self.path]) > 1 else told[self.path][0]
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", told
    server.shutdown()
    server.server_close()
    thread.join(5)


def test_a_deployment_that_gets_ready_is_waited_for(answers: tuple[str, dict[str, list[int]]]) -> None:
    url, told = answers
    told["/health/ready"] = [503, 503, 200]
    said: list[str] = []

    assert await_health(url, within=timedelta(seconds=20), pause=AT_ONCE, tell=said.append) == []
    assert said == [f"{url}/health/ready answers 503"] * 2


def test_a_deployment_that_does_not_get_ready_is_a_problem(answers: tuple[str, dict[str, list[int]]]) -> None:
    url, told = answers
    told["/health/ready"] = [503]

    assert await_health(url, within=AT_ONCE, pause=AT_ONCE, tell=lambda _: None) == [f"{url}/health/ready answers 503"]


# -- deploy --------------------------------------------------------------------------------------------------------
class Cdk:
    """Notes what it is asked and does nothing."""

    def __init__(self, *_: Any, **__: Any) -> None:
        self.ran: list[str] = []

    def install(self) -> None:
        """Needs no npm."""

    def run(self, *arguments: str) -> int:
        self.ran.append(arguments[0])
        return 0


@pytest.fixture
def cdk(monkeypatch: pytest.MonkeyPatch) -> Cdk:
    fake = Cdk()
    monkeypatch.setattr(deploy, "Cdk", lambda *_, **__: fake)
    monkeypatch.setattr(deploy, "_check_account", lambda _: "123456789012")
    monkeypatch.setattr(deploy, "_check_docker", lambda: None)
    monkeypatch.setattr(deploy, "_is_bootstrapped", lambda _: True)
    monkeypatch.setattr(deploy, "_look", lambda *_: fake.ran.append("look"))
    return fake


def test_nothing_is_deployed_without_a_yes(cdk: Cdk, capsys: pytest.CaptureFixture[str]) -> None:
    assert deploy.main(["dev"], ask=lambda _: "") == 1
    assert cdk.ran == ["diff"]
    assert "Nothing was changed." in capsys.readouterr().err


def test_a_yes_deploys_and_looks(cdk: Cdk) -> None:
    assert deploy.main(["dev"], ask=lambda _: "y") == 0
    assert cdk.ran == ["diff", "deploy", "look"]


def test_a_new_account_is_bootstrapped_first(cdk: Cdk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deploy, "_is_bootstrapped", lambda _: False)

    assert deploy.main(["dev", "--yes"]) == 0
    assert cdk.ran == ["bootstrap", "diff", "deploy", "look"]


def test_a_value_that_no_stage_knows_is_refused(cdk: Cdk, capsys: pytest.CaptureFixture[str]) -> None:
    assert deploy.main(["dev", "--set", "colour=red"]) == 1
    assert cdk.ran == []
    assert "there is no colour; the keys are name_prefix" in capsys.readouterr().err


def test_values_are_pairs() -> None:
    assert words(["domain=shop.example.com", "release=a=b"]) == {"domain": "shop.example.com", "release": "a=b"}
    with pytest.raises(ValueError, match="expected key=value, got domain"):
        words(["domain"])


@pytest.mark.parametrize("script", ["deploy", "redrive", "rehearse"])
def test_a_script_can_be_run(script: str) -> None:
    file = Path(__file__).parents[2] / "scripts" / script
    assert file.stat().st_mode & 0o111
