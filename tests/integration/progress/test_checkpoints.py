"""Checkpoints in a real PostgreSQL."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.db import connection, connections, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from app.engine.jobs.states import JobState
from app.engine.jobs.whereabouts import Whereabouts, _with_checkpoint
from app.engine.progress import checkpoints, forgetting
from app.engine.progress.errors import Overtaken
from app.engine.progress.models import Checkpoint
from app.engine.progress.reading import of_job, read, read_many

pytestmark = pytest.mark.django_db(transaction=True)
KEY = "reports.report:17"


def run(task_id: str | None = "job", fence: int | None = None) -> Any:
    """``self.request`` of a run."""
    return SimpleNamespace(id=task_id, properties={"delivery_info": {} if fence is None else {"fence": fence}})


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def shown() -> tuple[Any, ...]:
    found = read(KEY)
    assert found is not None
    return found.current, found.total, found.percent, found.label, found.counts


def test_a_work_that_nobody_has_begun_has_neither_checkpoint_nor_progress() -> None:
    assert checkpoints.load(KEY) is None
    assert read(KEY) is None
    assert checkpoints.take(KEY).checkpoint is None


def test_another_job_goes_on_where_the_last_one_stopped() -> None:
    checkpoints.take(KEY, run("first", fence=7)).save(state={"after": 400}, current=400, total=1000, counts={"failed": 2})

    found = checkpoints.take(KEY, run("second", fence=1)).checkpoint

    assert found is not None
    assert (found.state, found.current, found.counts) == ({"after": 400}, 400, {"failed": 2})
    assert checkpoints.load(KEY) == found


def test_a_checkpoint_is_committed_with_the_work_or_not_at_all() -> None:
    track = checkpoints.take(KEY)

    def work_that_is_killed() -> None:
        with transaction.atomic():
            Group.objects.create(name="work")
            track.save(state={"after": 1}, current=1)
            raise KeyError("killed here")

    with pytest.raises(KeyError):
        work_that_is_killed()

    assert checkpoints.load(KEY) is None
    assert shown()[0] == 0
    with transaction.atomic():
        Group.objects.create(name="work")
        track.save(state={"after": 1}, current=1)
    found = checkpoints.load(KEY)
    assert found is not None
    assert found.state == {"after": 1}


def test_an_overtaken_run_writes_nothing_and_its_work_is_rolled_back() -> None:
    old = checkpoints.take(KEY, run("old"))
    new = checkpoints.take(KEY, run("new"))
    new.save(state={"after": 5}, current=5)

    def work_of_the_old_one() -> None:
        with transaction.atomic():
            Group.objects.create(name="late")
            old.save(state={"after": 9}, current=9)

    with pytest.raises(Overtaken, match="later run"):
        work_of_the_old_one()
    with pytest.raises(Overtaken):
        old.report(current=9)

    assert not Group.objects.exists()
    assert shown()[0] == 5
    found = checkpoints.load(KEY)
    assert found is not None
    assert found.state == {"after": 5}


def test_an_earlier_run_of_the_same_job_cannot_take_it_back() -> None:
    checkpoints.take(KEY, run(fence=1))
    checkpoints.take(KEY, run(fence=2)).save(state={}, current=2)

    with pytest.raises(Overtaken, match="fence 1"):
        checkpoints.take(KEY, run(fence=1))

    assert checkpoints.take(KEY, run(fence=2)).checkpoint is not None
    assert checkpoints.take(KEY, run("another", fence=1)).checkpoint is not None
    assert checkpoints.take(KEY, run(None)).checkpoint is not None


def test_what_is_shown_never_falls_though_a_resumed_run_repeats_some() -> None:
    with checkpoints.take(KEY, run("first")) as track:
        track.save(state={"after": 40}, current=40, total=100, counts={"processed": 38, "failed": 2})
        track.report(current=70, counts={"processed": 67, "failed": 3})

    with checkpoints.take(KEY, run("second")) as track:
        track.report(current=41, label="again", counts={"processed": 39, "failed": 2})
        track.flush()
        assert shown() == (70, 100, 70, "again", {"processed": 67, "failed": 3})
        track.save(state={"after": 50}, current=50, total=200, counts={"processed": 48, "failed": 2})

    assert shown() == (70, 200, 70, "again", {"processed": 67, "failed": 3})
    found = checkpoints.load(KEY)
    assert found is not None
    assert (found.current, found.counts) == (50, {"processed": 48, "failed": 2})


def test_more_than_was_thought_is_never_more_than_all() -> None:
    track = checkpoints.take(KEY)
    track.save(state={}, current=12, total=10)

    assert shown()[:3] == (12, 12, 100)
    track.save(state={}, current=3, total=0)
    assert shown()[:3] == (12, 12, 100)


def test_without_a_total_there_is_no_percentage() -> None:
    checkpoints.take(KEY).save(state={}, current=12)

    assert shown()[:3] == (12, None, None)


def test_showing_writes_once_a_second_and_the_last_word_always() -> None:
    clock = Clock()
    with CaptureQueriesContext(connection) as queries, checkpoints.take(KEY, clock=clock) as track:
        taken = len(queries)
        for number in range(1, 1000):
            clock.now = number / 200  # five seconds
            track.report(current=number, total=1000)
        assert len(queries) - taken == 5
        assert shown()[0] < 999

    assert shown() == (999, 1000, 99, "", {})


def test_the_last_word_is_written_when_the_run_fails_and_its_error_is_heard() -> None:
    clock = Clock()

    def failing_run() -> None:
        with checkpoints.take(KEY, clock=clock) as track:
            track.report(current=1)
            track.report(current=2, label="here")
            raise KeyError("no")

    with pytest.raises(KeyError):
        failing_run()

    assert shown()[0] == 2


def test_a_checkpoint_shows_what_was_kept_back_and_is_exact_itself() -> None:
    clock = Clock()
    track = checkpoints.take(KEY, clock=clock)
    track.report(current=1, total=100)
    track.report(current=60, label="the second source", counts={"failed": 1})

    track.save(state={}, current=50)

    assert shown() == (60, 100, 60, "the second source", {"failed": 1})
    found = checkpoints.load(KEY)
    assert found is not None
    assert (found.current, found.counts) == (50, {})


@pytest.mark.parametrize("state", [{"of": object()}, {"of": "x" * 20_000}], ids=["no JSON", "too large"])
def test_a_state_that_is_no_position_is_refused(state: dict[str, Any]) -> None:
    with pytest.raises((TypeError, ValueError)):
        checkpoints.take(KEY).save(state=state, current=1)

    assert checkpoints.load(KEY) is None


@pytest.mark.parametrize("key", ["", "x" * 256])
def test_a_key_that_is_none_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match="1 to 255"):
        checkpoints.take(key)


@pytest.mark.parametrize("said", [{"current": -1}, {"current": 1, "total": -1}])
def test_progress_is_counted_from_nothing(said: Any) -> None:
    with pytest.raises(ValueError, match="counted from 0"):
        checkpoints.take(KEY).report(**said)


def test_of_many_runs_at_once_one_holds_the_work_and_what_is_shown_never_falls() -> None:
    done = threading.Event()
    seen: list[int] = []

    def watch() -> None:
        while not done.is_set():
            found = read(KEY)
            seen.append(0 if found is None else found.current)
        connections.close_all()

    def work(number: int) -> bool:
        try:
            track = checkpoints.take(KEY, run(f"job-{number}"))
            start = 0 if track.checkpoint is None else track.checkpoint.current
            for position in range(start + 1, start + 20):
                track.save(state={"after": position}, current=position, total=200)
        except Overtaken:
            return False
        finally:
            connections.close_all()
        return True

    with ThreadPoolExecutor(9) as pool:
        watching = pool.submit(watch)
        ended = list(pool.map(work, range(8)))
        done.set()
        watching.result(10)

    assert any(ended)
    assert seen == sorted(seen)
    found = checkpoints.load(KEY)
    assert found is not None
    assert found.state == {"after": found.current}


def test_progress_is_found_by_its_key_and_by_the_job_that_holds_the_work() -> None:
    checkpoints.take("a", run("job")).save(state={}, current=1)
    checkpoints.take("b", run("other")).save(state={}, current=2)
    checkpoints.take("a", run("later"))

    with CaptureQueriesContext(connection) as queries:
        found = read_many(["a", "b", "c"])
    assert {key: progress.current for key, progress in found.items()} == {"a": 1, "b": 2}
    assert len(queries) == 1
    assert of_job("job") is None
    assert of_job("later") == found["a"]


def test_the_record_of_a_running_job_tells_how_far_the_work_is_unless_it_says_something_itself() -> None:
    checkpoints.take(KEY, run("job")).save(state={}, current=1, total=4, label="half of the half")

    running = _with_checkpoint(Whereabouts(id="job", state=JobState.STARTED))
    assert running.progress["state"] == "PROGRESS"
    assert running.progress["meta"].items() >= {"key": KEY, "percent": 25, "label": "half of the half"}.items()
    assert json.dumps(running.as_document())
    assert _with_checkpoint(Whereabouts(id="job", state=JobState.STARTED, progress={"state": "MINE"})).progress == {"state": "MINE"}
    assert _with_checkpoint(Whereabouts(id="job", state=JobState.SUCCEEDED)).progress is None
    assert _with_checkpoint(Whereabouts(id="other", state=JobState.STARTED)).progress is None


def test_works_are_kept_for_as_long_as_a_message_can_wait_and_then_forgotten() -> None:
    now = timezone.now()
    for number in range(5):
        checkpoints.take(f"work-{number}")
    old = now - forgetting.kept_for() - timedelta(seconds=1)
    Checkpoint.objects.filter(pk__in=["work-0", "work-1", "work-2"]).update(touched_at=old)

    assert forgetting.forget_old(now, batch=2) == 3
    assert sorted(Checkpoint.objects.values_list("pk", flat=True)) == ["work-3", "work-4"]
