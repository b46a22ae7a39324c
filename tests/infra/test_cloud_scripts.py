"""What people run from a terminal to deploy: no deployment unasked, an answer for each end. For commands in a stage see ``test_operate``."""

import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from scripts.cloud import deploy
from scripts.cloud.cdk import words
from scripts.cloud.smoke import await_health

AT_ONCE = timedelta(0)


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


@pytest.mark.parametrize("script", ["deploy", "operate", "redrive", "rehearse"])
def test_a_script_can_be_run(script: str) -> None:
    file = Path(__file__).parents[2] / "scripts" / script
    assert file.stat().st_mode & 0o111
