"""Who may read the list of workers by the API, and what an operator's program gets."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client

from app.api.tokens import issue_token
from app.console.api import workers as module
from app.engine.conf import engine_settings
from app.engine.shared_reading import SharedReading
from app.engine.workers.registry import read_workers
from tests.support.environment import free_port


def test_the_list_is_for_tokens_of_staff(api_client: Any) -> None:
    anonymous, customer = Client().get("/api/workers"), api_client.get("/api/workers")

    assert (anonymous.status_code, customer.status_code) == (401, 403)
    assert customer["Content-Type"] == "application/problem+json"
    assert customer.json()["detail"] == "This is for staff: the owner of this token is not."


def test_an_aws_that_is_away_is_a_503_that_says_so(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere = replace(engine_settings(), endpoint_url=f"http://127.0.0.1:{free_port()}")
    monkeypatch.setattr(
        module, "workers_reading", SharedReading(lambda: read_workers(nowhere, datetime.now(UTC)), patience=timedelta(seconds=20))
    )
    staff = get_user_model().objects.create_user("grace", "grace@example.com", "a-long-password", is_staff=True)
    client = Client(raise_request_exception=False, headers={"Authorization": f"Bearer {issue_token(staff, 'tests')}"})

    response = client.get("/api/workers")

    assert response.status_code == 503
    assert response["Content-Type"] == "application/problem+json"


def test_staff_see_every_worker_by_the_api_and_the_command_line(site: Any) -> None:
    answer = site.stack.request("GET", "/api/workers")

    assert answer.status == 200
    workers = {worker["service"]: worker for worker in answer.body["workers"]}
    assert set(workers) == {
        "beat",
        "outbox-relay",
        "worker-cpu-intensive",
        "worker-default",
        "worker-emails",
        "worker-notifications",
        "worker-reports",
    }
    default = workers["worker-default"]
    assert (default["state"], default["protected"], default["ecs_task"]) == ("live", False, None)
    assert (default["queues"], default["paused"], default["slots"]) == (["default"], [], 4)
    assert default["memory_bytes"] > 0
    assert answer.body["version_skew"] == {}
    listed = site.stack.manage("workers").stdout
    assert all(worker["hostname"] in listed for worker in workers.values())
