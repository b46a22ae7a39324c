import sys
from pathlib import Path

import pytest

from benchmarks.pool import PREFORK, THREADS
from benchmarks.stacks import CELERY_REDIS, DRAMATIQ_SQS, MILLRACE


def test_a_stack_says_that_there_is_no_redis_server_on_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    assert CELERY_REDIS.absence() == "redis-server not found"
    assert not MILLRACE.absence()


def test_a_stack_says_which_package_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.stacks.registry.PACKAGES", tmp_path)
    assert DRAMATIQ_SQS.absence() == "dramatiq_sqs not installed"

    (tmp_path / "dramatiq_sqs").mkdir()
    (tmp_path / "dramatiq_sqs" / "__init__.py").touch()

    assert not DRAMATIQ_SQS.absence()


def test_packages_of_others_are_on_the_path_of_nobody_else() -> None:
    assert "PYTHONPATH" in DRAMATIQ_SQS.environment()
    assert MILLRACE.environment() == {}
    assert not any(".benchmark-packages" in entry for entry in sys.path)


def test_each_stack_has_as_many_slots_as_the_pool() -> None:
    assert "-P threads -c 8" in " ".join(MILLRACE.command(THREADS))
    assert "--processes 1 --threads 8" in " ".join(DRAMATIQ_SQS.command(THREADS))
    assert "--processes 2 --threads 1" in " ".join(DRAMATIQ_SQS.command(PREFORK))
