"""The work that the simulator is given."""

import random
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from benchmarks.scaling.traces import TRACES, Job, TraceRefused, asked, replayed

SPIKE = TRACES["spike"](random.Random(7))


@pytest.mark.parametrize("name", list(TRACES))
def test_the_same_seed_makes_the_same_jobs_in_order(name: str) -> None:
    one, again, other = (TRACES[name](random.Random(seed)) for seed in (1, 1, 2))

    assert one == again
    assert one.jobs != other.jobs
    assert list(one.jobs) == sorted(one.jobs, key=lambda job: job.at)
    assert one.name == name


@pytest.mark.parametrize("name", ["burst", "spike", "bulk"])
def test_runs_take_as_long_as_the_policy_expects(name: str) -> None:
    trace = TRACES[name](random.Random(3))
    mean = sum(job.run_seconds for job in trace.jobs) / len(trace.jobs)

    assert mean == pytest.approx(trace.scaling.expected_run_time.total_seconds(), rel=0.15)


def test_other_run_times_and_slots_change_the_jobs_and_what_is_expected_of_them() -> None:
    changed = asked(SPIKE, slots=8, run_seconds=0.5, scaling=lambda policy: replace(policy, maximum=7))

    assert changed.scaling.expected_run_time == timedelta(seconds=0.5)
    assert (changed.slots, changed.scaling.maximum) == (8, 7)
    assert [job.at for job in changed.jobs] == [job.at for job in SPIKE.jobs]
    assert changed.jobs[5].run_seconds == pytest.approx(SPIKE.jobs[5].run_seconds / 4)


@pytest.mark.parametrize(
    "text",
    [
        '{"at": 1060.0, "run_seconds": 3}\n\n{"at": 1000, "run_seconds": 1}\n',
        "at,run_seconds,queue\n1060,3,emails\n1000,1,emails\n",
    ],
    ids=["lines of JSON", "CSV"],
)
def test_a_file_of_jobs_is_replayed_from_its_first_job_on(tmp_path: Path, text: str) -> None:
    file = tmp_path / "mine.txt"
    file.write_text(text)

    trace = replayed(file, SPIKE)

    assert list(trace.jobs) == [Job(0.0, 1.0), Job(60.0, 3.0)]
    assert (trace.name, trace.scaling.expected_run_time) == ("mine", timedelta(seconds=2))


@pytest.mark.parametrize(
    "text", ["", "when,run_seconds\n1,2\n", "at,run_seconds\n1,long\n", '{"at": 1}\n', "at,run_seconds\n1,0\n", "at,run_seconds\ninf,1\n"]
)
def test_a_file_of_something_else_is_refused_with_what_was_expected(tmp_path: Path, text: str) -> None:
    file = tmp_path / "mine.csv"
    file.write_text(text)

    with pytest.raises(TraceRefused, match=r"mine\.csv: expected"):
        replayed(file, SPIKE)
