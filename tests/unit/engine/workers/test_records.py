"""What is told of a worker, and from when on it is lost."""

from dataclasses import replace
from datetime import timedelta

import pytest

from app.engine.workers.records import SILENT_AFTER, WorkerState, item_of, record_of
from tests.unit.engine.workers.records import NOON, WORKER

#: The attributes that releases before this one wrote.
FIRST_ATTRIBUTES = {"hostname", "ttl", "service", "queues", "slots", "running", "reserved", "release", "started_at", "seen_at"}


def test_a_worker_is_read_as_it_was_written() -> None:
    assert record_of(item_of(WORKER)) == WORKER
    assert record_of(item_of(replace(WORKER, memory_bytes=None, running=()))) == replace(WORKER, memory_bytes=None, running=())


def test_the_item_of_an_older_release_is_read_during_a_deployment_and_its_reader_reads_ours() -> None:
    item = item_of(WORKER)
    older = {name: value for name, value in item.items() if name in FIRST_ATTRIBUTES}

    assert set(older) == FIRST_ATTRIBUTES
    found = record_of(older)
    assert (found.hostname, found.busy, found.paused, found.memory_bytes, found.ecs_task) == (WORKER.hostname, 1, (), None, "")
    assert found.state(NOON) is WorkerState.LIVE


@pytest.mark.parametrize(
    ("flags", "state"), [((False, False), WorkerState.LIVE), ((True, False), WorkerState.DRAINING), ((True, True), WorkerState.STOPPING)]
)
def test_whatever_it_did_a_worker_that_is_silent_for_twenty_seconds_is_lost(flags: tuple[bool, bool], state: WorkerState) -> None:
    worker = replace(WORKER, is_draining=flags[0], is_stopping=flags[1])

    assert worker.state(NOON + SILENT_AFTER - timedelta(microseconds=1)) is state
    assert worker.state(NOON + SILENT_AFTER) is WorkerState.LOST


def test_a_paused_queue_is_attended_and_one_whose_worker_takes_no_more_is_not() -> None:
    assert replace(WORKER, is_draining=False).attended == ("emails", "letters")
    assert WORKER.attended == ()
    assert replace(WORKER, is_draining=False, is_stopping=True).attended == ()
