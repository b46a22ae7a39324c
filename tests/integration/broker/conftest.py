"""Fleets: one for a test, and one with a worker of ours for a module."""

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.broker.fleet import OTHER_QUEUE, Fleet
from tests.support.broker import QUEUE
from tests.support.strict_sqs import NO_HABITS, StrictSqs

_numbers = itertools.count(1)


def _fleet(control: str, aws: str, directory: Path) -> Fleet:
    number = next(_numbers)
    # Every row counts exact runs: a duplicate that SQS makes would be counted against us.
    network = StrictSqs(control, seed=number, habits=NO_HABITS)
    return Fleet(network, aws, directory, f"fleet-{number}-{os.getpid()}")


@pytest.fixture
def fleet(aws: str, _strict_sqs: str, tmp_path: Path) -> Iterator[Fleet]:
    """With nothing running yet."""
    made = _fleet(_strict_sqs, aws, tmp_path)
    yield made
    made.end()


@pytest.fixture(
    scope="module", params=["prefork", pytest.param("threads", marks=pytest.mark.long), pytest.param("solo", marks=pytest.mark.long)]
)
def running(request: pytest.FixtureRequest, aws: str, _strict_sqs: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """With a worker of ours on both queues."""
    made = _fleet(_strict_sqs, aws, tmp_path_factory.mktemp(request.param))
    made.start("-P", request.param, "-c", "4", "-Q", f"{QUEUE},{OTHER_QUEUE}")
    yield made
    made.end()
