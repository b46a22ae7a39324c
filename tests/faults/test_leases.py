"""Who holds a message keeps it."""

from collections.abc import Callable

import pytest

from tests.support.broker import Broker
from tests.support.eventually import eventually


@pytest.mark.parametrize(("jobs", "seconds"), [(4, 8), pytest.param(20, 12, marks=pytest.mark.long)])
def test_a_job_longer_than_its_visibility_runs_once(make_broker: Callable[..., Broker], jobs: int, seconds: int) -> None:
    broker = make_broker(visibility=5)
    for _ in range(2):
        broker.start("-c", "2")
    broker.send(f"for job in range({jobs}): take.delay(job, {seconds})")

    eventually(lambda: broker.runs("end"), lambda ended: len(ended) == jobs, within=seconds * jobs / 4 + 20)
    eventually(broker.depth, (0, 0))
    assert set(broker.runs("start").values()) == {1}
