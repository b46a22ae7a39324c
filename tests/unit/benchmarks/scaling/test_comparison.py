"""What is claimed of our policy, on the small traces; benchmarks/scaling/RESULTS.md has all of them."""

import random
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import pytest

from benchmarks.scaling.__main__ import main
from benchmarks.scaling.policies import OTHERS, OURS, QUEUE_PROCESSING, SILENT, Conditions, Family, Way
from benchmarks.scaling.runs import Summary, compare
from benchmarks.scaling.traces import TRACES, Trace

SEEDS = 2
PLANNED = Conditions()


@cache
def traces(name: str) -> Sequence[Trace]:
    return [TRACES[name](random.Random(f"{name} {seed}")) for seed in range(SEEDS)]


@cache
def compared(name: str, way: Way, conditions: Conditions = PLANNED) -> Summary:
    return compare(traces(name), way, conditions)


@pytest.mark.parametrize("name", ["burst", "spike", "bulk", "rare"])
def test_jobs_wait_half_as_long_as_with_queue_processing_and_less_than_with_any_native_policy(name: str) -> None:
    ours = compared(name, OURS)

    assert ours.p95 <= 0.5 * compared(name, QUEUE_PROCESSING).p95
    for way in OTHERS:
        if way.family is Family.CLOUDWATCH:
            assert ours.p95 < compared(name, way).p95


@pytest.mark.parametrize("name", ["bulk", "rare"])
def test_it_costs_little_more_than_the_cheapest_policy_that_meets_the_goal(name: str) -> None:
    goal = traces(name)[0].goal_seconds
    ours = compared(name, OURS)

    assert ours.meets(goal)
    assert ours.task_hours <= 1.1 * min(found.task_hours for way in OTHERS if (found := compared(name, way)).meets(goal))


@pytest.mark.parametrize("way", [OURS, SILENT], ids=lambda way: way.name)
def test_no_rare_job_waits_for_ever_and_nothing_is_kept_running_for_it(way: Way) -> None:
    found = compared("rare", way)

    assert found.unfinished == 0
    assert found.in_goal == 1
    assert found.task_hours < 4  # of the six and a half


def test_with_queue_processing_a_rare_job_never_runs() -> None:
    assert compared("rare", QUEUE_PROCESSING).unfinished == 12


def test_bulk_costs_little_more_than_its_runs_meets_its_goal_and_loses_none() -> None:
    found = compared("bulk", OURS)

    assert found.over_lower_bound < 1.3
    assert found.in_goal == 1
    assert found.kills == 0


@pytest.mark.parametrize(
    "conditions",
    [Conditions(run_time_error=0.5), Conditions(run_time_error=2.0), Conditions(metric_delay=180.0)],
    ids=["half the run time", "double the run time", "late figures"],
)
def test_a_wrong_run_time_and_late_figures_change_little(conditions: Conditions) -> None:
    planned, worse = compared("spike", OURS), compared("spike", OURS, conditions)

    assert worse.p95 < 1.5 * planned.p95
    assert worse.task_hours < 1.15 * planned.task_hours


def test_a_silent_sensor_is_still_better_than_the_native_policies() -> None:
    silent = compared("spike", SILENT)

    for way in OTHERS:
        if way.family is Family.CLOUDWATCH:
            assert silent.p95 < compared("spike", way).p95
    assert silent.task_hours < 2 * compared("spike", OURS).task_hours


def test_the_command_answers_what_if_draws_it_and_writes_it_down(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    jobs = tmp_path / "mine.csv"
    jobs.write_text("at,run_seconds\n" + "".join(f"{number},2\n" for number in range(60)))

    status = main(
        [
            *("--replay", str(jobs), "--seeds", "1", "--slots", "2", "--goal", "20", "--minimum", "2", "--conditions"),
            *("--plot", str(tmp_path), "--output", str(tmp_path / "found.md")),
        ]
    )

    told = capsys.readouterr().out
    assert status == 0
    assert "60 jobs of mine.csv, 2 s each. 2 slots a task, 2 to 40 tasks, goal 20 s, mode latency, mean run 2 s." in told
    assert "mean run believed to be double" in told
    assert "| deficit " in (tmp_path / "found.md").read_text()
    assert (tmp_path / "mine.svg").read_text().count("<polyline") == 12


def test_with_a_service_of_ours_its_own_policy_is_asked(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--trace", "rare", "--seeds", "1", "--service", "worker-reports"]) == 0

    assert "2 slots a task, 0 to 10 tasks, goal 1800 s, mode economy" in capsys.readouterr().out


def test_numbers_that_do_not_fit_together_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--trace", "rare", "--seeds", "1", "--minimum", "50"]) == 2

    assert "minimum: expected 0 to maximum (40), got 50" in capsys.readouterr().err
