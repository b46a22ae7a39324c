"""The settings of a process of its own, in an environment of its own."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from tests.support.environment import REPOSITORY, environment

_PROGRAM = """
import json
from app.config import settings
print(json.dumps({name: getattr(settings, name) for name in dir(settings) if name.isupper()}, default=repr))
"""


def imported(values: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", _PROGRAM],
        cwd=REPOSITORY,
        env={"PATH": os.environ["PATH"], **values},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def settings_with(**changes: str) -> Any:
    done = imported(environment(**changes))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def by_https() -> Any:
    return settings_with(PUBLIC_URL="https://shop.example.com", DATABASE_PASSWORD="hunter2", SERVICE="worker-default")


@pytest.fixture(scope="module")
def by_http() -> Any:
    return settings_with(PUBLIC_URL="http://127.0.0.1:8000")


def test_a_missing_variable_ends_the_process_with_a_list_and_without_a_traceback() -> None:
    values = environment()
    del values["DATABASE_HOST"], values["STRIPE_API_KEY"]

    done = imported(values)

    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert [line.split(":")[0].strip() for line in done.stderr.splitlines()[1:]] == ["DATABASE_HOST", "STRIPE_API_KEY"]


@pytest.mark.parametrize(
    "setting",
    ["SESSION_COOKIE_SECURE", "CSRF_COOKIE_SECURE", "SECURE_SSL_REDIRECT", "SECURE_HSTS_SECONDS"],
)
def test_https_makes_cookies_secure_and_nothing_else_does(setting: str, by_https: Any, by_http: Any) -> None:
    assert by_https[setting]
    assert not by_http[setting]


def test_the_public_address_is_the_one_that_is_trusted(by_https: Any) -> None:
    assert by_https["ALLOWED_HOSTS"] == ["shop.example.com"]
    assert by_https["CSRF_TRUSTED_ORIGINS"] == ["https://shop.example.com"]


def test_debug_is_off_whatever_the_address(by_https: Any, by_http: Any) -> None:
    assert by_https["DEBUG"] is by_http["DEBUG"] is False


def test_the_limits_of_the_environment_reach_celery() -> None:
    celery = settings_with(
        WORKER_PREFETCH_MULTIPLIER="3", WORKER_MAX_TASKS_PER_CHILD="7", WORKER_MAX_MEMORY_PER_CHILD_MIB="100", TASK_DEFAULT_RATE_LIMIT="5/s"
    )["CELERY"]

    assert celery["worker_prefetch_multiplier"] == 3
    assert celery["worker_max_tasks_per_child"] == 7
    assert celery["worker_max_memory_per_child"] == 100 * 1024, "KiB"
    assert celery["task_default_rate_limit"] == "5/s"


def test_the_database_is_told_who_is_asking(by_https: Any) -> None:
    database = by_https["DATABASES"]["default"]

    assert database["PASSWORD"] == "hunter2"
    assert "worker-default" in database["OPTIONS"]["application_name"]
