from pathlib import Path

from benchmarks.tally import Tally, count_runs, doubles, read_runs


def test_a_run_is_double_beyond_as_many_as_its_job_has_copies(tmp_path: Path) -> None:
    tally = Tally(str(tmp_path / "t"))
    for sequence in (1, 1, 2, 3, 3, 3):
        tally.add(sequence, 0.0, 1.0)

    runs = read_runs(tmp_path / "t")

    assert count_runs(tmp_path / "t") == 6
    assert doubles(runs) == 3
    assert doubles(runs, copies=2) == 1
