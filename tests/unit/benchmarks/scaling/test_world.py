"""The simulated queue and ECS: every job is accounted for, every task is paid for."""

import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from app.engine.workers import protection
from benchmarks.scaling.traces import TRACES, Job, Trace
from benchmarks.scaling.world import BOOT, LEAST_PAID, LINGER, PLACED, STOP_TIMEOUT, VISIBILITY, World

LIKE = TRACES["spike"](random.Random(1))


def trace(jobs: Sequence[Job], *, minimum: int = 0, slots: int = 1) -> Trace:
    return replace(LIKE, jobs=jobs, slots=slots, scaling=replace(LIKE.scaling, minimum=minimum))


def world(made: Trace) -> World:
    return World(made, random.Random(1))


def let_pass(simulated: World, seconds: int) -> None:
    for _ in range(seconds):
        simulated.second()


def test_a_free_slot_takes_a_job_at_once_and_others_wait_for_it() -> None:
    simulated = world(trace([Job(10.2, 5.0), Job(10.4, 5.0)], minimum=1))

    let_pass(simulated, 13)
    assert (simulated.visible, simulated.in_flight) == (1, 1)
    let_pass(simulated, 10)

    assert simulated.outcome.waits == [0.0, pytest.approx(15.2 - 10.4)]
    assert simulated.is_over


def test_a_new_task_takes_jobs_when_it_has_been_placed_and_has_booted() -> None:
    simulated = world(trace([Job(0.5, 1.0)]))
    simulated.scale(1)

    let_pass(simulated, 100)

    (wait,) = simulated.outcome.waits
    assert PLACED[0] + BOOT - 1 <= wait <= PLACED[1] + BOOT


def test_nothing_scales_beyond_the_limits() -> None:
    simulated = world(trace([Job(0, 1.0)], minimum=2))

    simulated.scale(1000)
    assert simulated.desired == LIKE.scaling.maximum
    simulated.scale(-1000)
    assert simulated.desired == 2


def test_a_task_that_is_told_to_stop_ends_what_it_runs_and_takes_nothing_more() -> None:
    simulated = world(trace([Job(0.0, 20.0), Job(1.0, 1.0)], minimum=1))
    let_pass(simulated, 10)
    simulated.desired = 0

    let_pass(simulated, 40)
    outcome = simulated.close()

    assert outcome.waits == [0.0]
    assert (outcome.unfinished, outcome.kills) == (1, 0)
    assert outcome.task_seconds == pytest.approx(LEAST_PAID)


def test_a_run_that_a_stop_leaves_no_time_for_is_lost_and_repeated() -> None:
    simulated = world(trace([Job(0.0, 300.0)], minimum=1))
    let_pass(simulated, 10)
    simulated.desired = 0
    let_pass(simulated, int(STOP_TIMEOUT) + 2)

    assert simulated.outcome.kills == 1
    assert simulated.outcome.lost_seconds == pytest.approx(10 + STOP_TIMEOUT)
    assert simulated.outcome.waits == []
    assert simulated.in_flight == 1, "until its visibility lapses"

    simulated.desired = 1
    let_pass(simulated, int(VISIBILITY) + 400)

    assert simulated.is_over
    assert len(simulated.outcome.waits) == 1
    assert simulated.outcome.waits[0] >= 10 + STOP_TIMEOUT + VISIBILITY


def test_a_long_run_keeps_its_task() -> None:
    simulated = world(trace([Job(0.0, 300.0)], minimum=1))
    let_pass(simulated, 40)
    simulated.desired = 0
    let_pass(simulated, 300)

    assert simulated.is_over
    assert simulated.outcome.kills == 0


def test_a_task_whose_long_run_has_just_ended_is_kept_for_the_next_one() -> None:
    made = trace([Job(0.0, 45.0), Job(47.5, 300.0)], minimum=1)
    simulated = world(replace(made, scaling=replace(made.scaling, expected_run_time=timedelta(minutes=2))))
    let_pass(simulated, 47)
    simulated.desired = 0
    let_pass(simulated, 310)

    assert (simulated.is_over, simulated.outcome.kills) == (True, 0)
    assert LINGER == protection.LINGER_SECONDS


@pytest.mark.parametrize("seed", range(3))
def test_however_it_scales_every_job_runs_once_to_its_end(seed: int) -> None:
    made = replace(TRACES["bulk"](random.Random(seed)), scaling=LIKE.scaling)
    simulated = World(made, random.Random(seed))
    chance = random.Random(seed)
    while not simulated.is_over:
        if simulated.now % 60 == 0:
            simulated.scale(chance.randint(0, 10))
        simulated.second()
    outcome = simulated.close()

    assert len(outcome.waits) == len(made.jobs)
    assert outcome.unfinished == 0
    assert min(outcome.waits) >= 0
    assert outcome.task_seconds >= made.task_hours_at_least * 3600
