"""Who holds a message keeps it."""

from collections.abc import Callable

from tests.support.broker import Broker
from tests.support.eventually import eventually


def test_a_job_longer_than_its_visibility_runs_once(make_broker: Callable[..., Broker]) -> None:
    broker = make_broker(visibility=5)
    broker.start("-c", "2")
    broker.start("-c", "2")
    broker.send("for job in range(4): take.delay(job, 8)")

    eventually(lambda: broker.runs("end"), lambda ended: len(ended) == 4, within=25)
    assert set(broker.runs("start").values()) == {1}
