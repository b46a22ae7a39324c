"""A job that is due later starts once, on time and never early."""

import os
import signal
import time
from collections.abc import Callable

from tests.support.broker import Broker
from tests.support.eventually import eventually


def test_a_countdown_longer_than_the_visibility_starts_each_job_once_on_time_and_never_early(make_broker: Callable[..., Broker]) -> None:
    broker = make_broker(visibility=5)
    broker.start("-c", "2")
    sent_at = time.time()
    broker.send("for job in range(20): note.apply_async((job,), countdown=7)")
    sent_by = time.time()

    eventually(lambda: broker.runs("note"), lambda runs: len(runs) == 20, within=20)
    assert set(broker.runs("note").values()) == {1}
    assert all(sent_at + 7 <= at <= sent_by + 7 + 2 for _, at in broker.notes("note"))


def test_a_delay_in_several_hops_outlives_the_worker_and_starts_once(make_broker: Callable[..., Broker]) -> None:
    broker = make_broker(visibility=5, options={"longest_delay_seconds": 2})
    worker = broker.start("-c", "1")
    due = time.time() + 7
    broker.send("note.apply_async((1,), countdown=7)")
    eventually(lambda: time.time() > due - 4, bool, within=10)
    os.killpg(worker.process.pid, signal.SIGKILL)
    broker.start("-c", "1")

    ((_, at),) = eventually(lambda: broker.notes("note"), bool, within=20)
    assert at >= due
    assert broker.runs("note") == {1: 1}
