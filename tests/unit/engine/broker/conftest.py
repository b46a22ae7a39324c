"""What every test of the broker begins with."""

from collections.abc import Iterator

import pytest

from app.engine.broker.worker_link import ready_worker


@pytest.fixture(autouse=True)
def _no_worker_is_ready() -> Iterator[None]:
    """A process has one worker; each test here has one of its own."""
    ready_worker().consumer = None
    yield
    ready_worker().consumer = None
