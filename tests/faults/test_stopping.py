"""A worker that is told to stop lets others have its work."""

import signal
from collections.abc import Callable
from typing import Any

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


@pytest.mark.long
@pytest.mark.parametrize("signals", [[signal.SIGQUIT], [signal.SIGTERM, signal.SIGQUIT]], ids=["SIGQUIT", "SIGTERM, SIGQUIT"])
def test_a_worker_that_shall_end_at_once_does_and_all_of_its_work_runs_elsewhere(
    make_broker: Callable[..., Broker], signals: list[signal.Signals]
) -> None:
    broker = make_broker(visibility=60)
    # Short jobs make the worker take others in advance; the long ones behind them are what it then holds.
    broker.send("for job in range(100): note.delay(job)\nfor job in range(8): take.delay(job, 12)")
    first = broker.start("-c", "2")
    eventually(lambda: len(broker.runs("start")), 2, within=10)
    held = broker.depth()[1]
    broker.start("-c", "8")
    for number in signals:
        first.process.send_signal(number)

    first.process.wait(6)  # half of what its runs would have taken
    eventually(lambda: len(broker.runs("end")), 8, within=25)
    eventually(broker.depth, (0, 0))
    assert held > 2
    # The two that it cut short began again.
    assert sorted(broker.runs("start").values()) == [1] * 6 + [2] * 2
    assert set(broker.runs("end").values()) == {1}


def test_a_second_sigterm_ends_a_worker_of_the_product_at_once(stack: Any) -> None:
    stack.network.habits(duplicates=0)  # a second delivery would be a second start
    (worker,) = stack.start("worker-default")
    done = stack.python("from celery import current_app\n[current_app.tasks['engine.debug_task'].delay(seconds=60) for _ in range(2)]")
    assert done.returncode == 0, done.stderr
    eventually(lambda: [line for line in worker.lines() if line.get("message") == "task started"], within=15)
    worker.process.terminate()
    eventually(lambda: "warm" in worker.log.read_text().lower())
    worker.process.terminate()

    worker.process.wait(5)
    eventually(lambda: stack.depth("default"), (2, 0))


@pytest.mark.parametrize("pool", ["threads", "solo"])
def test_other_pools_run_and_stop_as_well(make_broker: Callable[..., Broker], pool: str) -> None:
    broker = make_broker()
    worker = broker.start("-P", pool, "-c", "4")
    broker.send("from celery import group\ngroup(note.si(job) for job in range(30)).apply_async()")

    eventually(lambda: broker.runs("note"), lambda runs: len(runs) == 30, within=20)
    assert set(broker.runs("note").values()) == {1}
    assert worker.stop() == 0
