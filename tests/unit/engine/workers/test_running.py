"""What a worker runs, by Celery's own sets."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from celery.worker import state

from app.engine.workers.records import MOST_RUNNING
from app.engine.workers.running import longest_run_seconds, running_jobs, running_requests


def run(name: str, seconds: float | None) -> Any:
    """A request as Celery has it: it notes the time of day at which a run began, and nothing before."""
    return SimpleNamespace(id=name, name=f"tasks.{name}", time_start=None if seconds is None else time.time() - seconds)


class Shifting:
    """A set that another thread changes while it is read."""

    def __init__(self, *members: Any, changes: int) -> None:
        self.members = members
        self.changes = changes

    def __iter__(self) -> Iterator[Any]:
        if self.changes:
            self.changes -= 1
            raise RuntimeError("Set changed size during iteration")
        return iter(self.members)


def test_the_longest_runs_come_first_with_the_moment_at_which_they_began() -> None:
    jobs = running_jobs([run("short", 2), run("none", None), run("long", 90)])

    assert [job.id for job in jobs] == ["long", "short", "none"]
    assert abs((datetime.now(UTC) - jobs[0].started_at).total_seconds() - 90) < 5


def test_no_more_are_told_than_an_item_bears() -> None:
    assert len(running_jobs([run(str(number), number) for number in range(300)])) == MOST_RUNNING


def test_the_longest_run_is_counted_from_its_beginning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state, "active_requests", [run("a", 3), run("b", 40), run("c", None)])
    assert 40 <= longest_run_seconds() < 45

    monkeypatch.setattr(state, "active_requests", set())
    assert longest_run_seconds() == 0


def test_a_set_that_changes_while_it_is_read_is_read_again_and_never_ends_the_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state, "active_requests", Shifting("a", changes=3))
    assert running_requests() == ["a"]

    monkeypatch.setattr(state, "active_requests", Shifting("a", changes=1000))
    assert running_requests() == []
