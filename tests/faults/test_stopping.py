"""A worker that is told to stop lets others have its work."""

import signal
from collections.abc import Callable

import pytest

from tests.support.broker import Broker
from tests.support.eventually import eventually


def test_what_a_stopping_worker_has_not_started_is_running_elsewhere_within_seconds(make_broker: Callable[..., Broker]) -> None:
    broker = make_broker(visibility=60)
    broker.send("for job in range(8): take.delay(job, 8)")
    first = broker.start("-c", "2", "--prefetch-multiplier", "4")
    eventually(lambda: len(broker.runs("start")), lambda started: started == 2, within=10)
    broker.start("-c", "8")
    first.process.send_signal(signal.SIGTERM)

    eventually(lambda: len(broker.runs("start")), lambda started: started == 8, within=10)
    assert first.process.wait(30) == 0
    eventually(lambda: len(broker.runs("end")), lambda ended: ended == 8, within=20)
    assert set(broker.runs("start").values()) == {1}


@pytest.mark.parametrize("pool", ["threads", "solo"])
def test_other_pools_run_and_stop_as_well(make_broker: Callable[..., Broker], pool: str) -> None:
    broker = make_broker()
    worker = broker.start("-P", pool, "-c", "4")
    broker.send("from celery import group\ngroup(note.si(job) for job in range(30)).apply_async()")

    eventually(lambda: broker.runs("note"), lambda runs: len(runs) == 30, within=20)
    assert set(broker.runs("note").values()) == {1}
    assert worker.stop() == 0
