"""A worker that is told to stop lets others have its work."""

import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.support.broker import Broker, Worker
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
        # Two signals that are pending together are handled in the order of their numbers, not of their sending.
        eventually(lambda: "shutdown" in first.log.read_text().lower())

    first.process.wait(6)  # half of what its runs would have taken
    # What was not given back would be hidden for a minute, and then take twelve seconds.
    eventually(lambda: len(broker.runs("end")), 8, within=50)
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


@contextmanager
def frozen_children(worker: Worker) -> Iterator[None]:
    """They take nothing and say nothing: all that the main process tells them is under way for so long."""
    children = [int(pid) for pid in Path(f"/proc/{worker.process.pid}/task/{worker.process.pid}/children").read_text().split()]
    for child in children:
        os.kill(child, signal.SIGSTOP)
    try:
        yield
    finally:
        for child in children:
            if worker.is_running():
                os.kill(child, signal.SIGCONT)


def hand_over(broker: Broker, worker: Worker, size: int) -> None:
    """To a frozen child."""
    broker.send(f"note.delay('j' * {size})")
    eventually(lambda: worker.log.read_text().count("] received"), 1)
    # When the worker has the next one, it has written the first to its child, as far as that is possible.
    broker.send("note.delay(0)")
    eventually(lambda: worker.log.read_text().count("] received"), 2)


@pytest.mark.parametrize("size", [1, 150_000], ids=["handed over", "half handed over"])
def test_a_job_that_a_child_has_not_begun_when_the_stop_comes_is_run_once_and_the_worker_ends(
    make_broker: Callable[..., Broker], size: int
) -> None:
    broker = make_broker(visibility=60)
    worker = broker.start("-c", "2", "-l", "DEBUG")
    with frozen_children(worker):
        hand_over(broker, worker, size)
        worker.process.send_signal(signal.SIGTERM)
        eventually(lambda: "Worker: Stopping Consumer" in worker.log.read_text())

    assert worker.process.wait(10) == 0
    ran = broker.runs("note")
    assert ran.pop("j" * size) == 1
    assert ran in ({}, {0: 1})
    assert broker.depth() == (1 - len(ran), 0)


@pytest.mark.long
def test_a_worker_that_shall_end_at_once_does_not_wait_for_a_child_that_does_not_end(make_broker: Callable[..., Broker]) -> None:
    broker = make_broker(visibility=60)
    worker = broker.start("-c", "2")
    with frozen_children(worker):
        hand_over(broker, worker, 1)
        worker.process.send_signal(signal.SIGTERM)
        eventually(lambda: "warm" in worker.log.read_text().lower())
        worker.process.send_signal(signal.SIGQUIT)

        worker.process.wait(15)
    eventually(broker.depth, (2, 0))


@pytest.mark.long
def test_each_of_many_stops_amid_small_jobs_ends_soon_and_doubles_nothing(make_broker: Callable[..., Broker]) -> None:
    broker = make_broker(visibility=60)
    broker.send(
        "from celery import group\nfor hundred in range(40): group(note.si(100 * hundred + job) for job in range(100)).apply_async()"
    )
    for stop in range(1, 41):
        enough = len(broker.runs("note")) + 20
        worker = broker.start("-c", "2")
        eventually(partial(broker.runs, "note"), partial(_has, enough), within=60)

        # Stock took half a minute; on a quiet machine it is six seconds at most.
        assert worker.stop(within=20) == 0, f"stop {stop}"
        ran = broker.runs("note")
        assert set(ran.values()) == {1}
        # Whether given back or not: nothing that has run is left, and nothing else is gone.
        assert sum(broker.depth()) == 4_000 - len(ran)


def _has(enough: int, runs: Counter[Any]) -> bool:
    return len(runs) > enough
