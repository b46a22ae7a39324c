"""What the ledger stores."""

import time
from typing import Any

import pytest
from celery import current_app, states

from app.engine.aws.provision import provision
from app.engine.conf import engine_settings
from app.engine.ledger.backend import LedgerBackend
from app.topology import TOPOLOGY


@pytest.fixture
def backend(aws: str) -> LedgerBackend:
    settings = engine_settings()
    provision(TOPOLOGY, name_prefix=settings.name_prefix, region=settings.region, endpoint_url=aws)
    return LedgerBackend(app=current_app)


def _state(backend: LedgerBackend, task_id: str) -> Any:
    return backend.get_task_meta(task_id, cache=False)["status"]


@pytest.mark.parametrize("later", [states.STARTED, states.RETRY, states.FAILURE])
def test_a_success_is_never_overwritten(backend: LedgerBackend, later: str) -> None:
    backend.store_result(f"won-{later}", 42, states.SUCCESS)
    backend.store_result(f"won-{later}", ValueError("a late twin") if later != states.STARTED else None, later)

    assert (_state(backend, f"won-{later}"), backend.get_result(f"won-{later}")) == (states.SUCCESS, 42)


def test_a_failure_gives_way_to_the_success_of_a_redelivered_run(backend: LedgerBackend) -> None:
    backend.store_result("recovered", ValueError("killed"), states.FAILURE)
    backend.store_result("recovered", 42, states.SUCCESS)

    assert _state(backend, "recovered") == states.SUCCESS


def test_an_expired_result_is_not_served_although_dynamodb_still_has_it(backend: LedgerBackend) -> None:
    backend._clock = lambda: 1_000_000.0
    backend.store_result("old", 42, states.SUCCESS)
    backend._clock = time.time

    assert _state(backend, "old") == states.PENDING


def test_many_results_are_read_in_hundreds(backend: LedgerBackend) -> None:
    for number in range(150):
        backend.set(f"key-{number}", str(number))

    assert backend.mget([f"key-{number}" for number in range(150)] + ["missing"]) == [*(str(number) for number in range(150)), None]


def test_a_forgotten_result_is_gone(backend: LedgerBackend) -> None:
    backend.store_result("forgotten", 42, states.SUCCESS)
    backend.forget("forgotten")

    assert _state(backend, "forgotten") == states.PENDING


@pytest.mark.parametrize("character", ["x", "€", "\U0001f600"])
def test_a_result_that_no_item_could_hold_comes_back_from_s3(backend: LedgerBackend, character: str) -> None:
    backend.store_result(f"large-{character}", character * 500_000, states.SUCCESS)

    assert backend.get_result(f"large-{character}") == character * 500_000
    (item,) = backend.mget([backend.get_key_for_task(f"large-{character}")])
    assert len(item) > 500_000


def test_a_small_result_after_a_large_one_is_read_from_its_item(backend: LedgerBackend) -> None:
    backend.store_result("shrinking", ValueError("x" * 500_000), states.RETRY)
    backend.store_result("shrinking", 42, states.SUCCESS)

    assert backend.get_result("shrinking") == 42
