"""The mean run time that a worker tells of itself."""

import pytest

from app.engine.workers.run_time import HALF_LIFE, RecentRuns

HEARTBEAT = 5.0


class Hours:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Hours:
    return Hours()


def work(recent: RecentRuns, clock: Hours, *, heartbeats: int, busy: int, begun: int, per_heartbeat: int) -> int:
    """Return how many runs have begun by then."""
    for _ in range(heartbeats):
        clock.seconds += HEARTBEAT
        begun += per_heartbeat
        recent.note(busy=busy, begun=begun)
    return begun


def test_the_busy_time_of_slots_by_the_runs_that_began_is_the_mean_run_time(clock: Hours) -> None:
    recent = RecentRuns(clock)

    # Four busy slots and ten runs in five seconds: two seconds each.
    work(recent, clock, heartbeats=100, busy=4, begun=0, per_heartbeat=10)

    assert recent.busy_seconds / recent.runs == pytest.approx(2)


def test_what_happened_long_ago_is_forgotten(clock: Hours) -> None:
    recent = RecentRuns(clock)
    begun = work(recent, clock, heartbeats=200, busy=4, begun=0, per_heartbeat=1)

    begun = work(recent, clock, heartbeats=600, busy=4, begun=begun, per_heartbeat=20)

    assert recent.busy_seconds / recent.runs == pytest.approx(1, rel=0.05)


def test_an_idle_worker_knows_less_and_less(clock: Hours) -> None:
    recent = RecentRuns(clock)
    begun = work(recent, clock, heartbeats=60, busy=1, begun=0, per_heartbeat=1)
    runs, busy_seconds = recent.runs, recent.busy_seconds

    clock.seconds += HALF_LIFE.total_seconds()
    recent.note(busy=0, begun=begun)

    assert recent.runs == pytest.approx(runs / 2)
    assert recent.busy_seconds == pytest.approx(busy_seconds / 2)


def test_a_long_run_is_seen_before_it_ends(clock: Hours) -> None:
    recent = RecentRuns(clock)

    begun = work(recent, clock, heartbeats=1, busy=0, begun=0, per_heartbeat=1)
    work(recent, clock, heartbeats=24, busy=1, begun=begun, per_heartbeat=0)

    assert recent.busy_seconds / recent.runs == pytest.approx(120, rel=0.2)
