"""How long a run of a service takes, by what its workers tell."""

from dataclasses import replace
from datetime import timedelta

import pytest

from app.engine.scaling.run_time import EXPECTED_COUNTS, mean_run_time
from tests.unit.engine.workers.records import WORKER

EXPECTED = timedelta(seconds=2)
IDLE = replace(WORKER, busy_seconds=0.0, runs=0.0)


def test_without_workers_and_without_runs_it_is_what_the_policy_expects() -> None:
    assert mean_run_time("worker-emails", [], EXPECTED) == EXPECTED
    assert mean_run_time("worker-emails", [IDLE, IDLE], EXPECTED) == EXPECTED


def test_many_runs_outweigh_what_is_expected() -> None:
    busy = replace(WORKER, busy_seconds=5000.0, runs=500.0)

    assert mean_run_time("worker-emails", [busy, busy], EXPECTED).total_seconds() == pytest.approx(10, rel=0.01)


def test_a_single_strange_run_changes_it_by_little() -> None:
    strange = replace(WORKER, busy_seconds=60.0, runs=1.0)

    assert mean_run_time("worker-emails", [strange], EXPECTED) == timedelta(seconds=(60 + EXPECTED_COUNTS * 2) / (1 + EXPECTED_COUNTS))


def test_workers_of_other_services_have_no_say() -> None:
    other = replace(WORKER, service="worker-reports", busy_seconds=5000.0, runs=5.0)

    assert mean_run_time("worker-emails", [other], EXPECTED) == EXPECTED
