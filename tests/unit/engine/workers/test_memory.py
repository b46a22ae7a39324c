"""What processes take together."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from app.engine.workers.memory import memory_bytes

MIB = 1024**2


def linux(proc: Path, **kib: int) -> Path:
    (proc / "self").mkdir()
    for pid, share in kib.items():
        process = proc / pid.removeprefix("pid")
        process.mkdir()
        (process / "smaps_rollup").write_text(
            f"7f00-7fff ---p 00000000 00:00 0 [rollup]\nRss: 999999 kB\nPss:  {share} kB\nPss_Dirty: 1 kB\n"
        )
    return proc


def test_pages_that_are_shared_count_once_and_who_has_ended_counts_nothing(tmp_path: Path) -> None:
    assert memory_bytes([1, 2, 3], linux(tmp_path, pid1=1000, pid2=500)) == 1500 * 1024


def test_what_the_system_does_not_tell_is_not_known(tmp_path: Path) -> None:
    assert memory_bytes([1], linux(tmp_path)) is None


def test_without_proc_the_system_s_own_command_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []

    def ps(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        asked.append(command)
        return subprocess.CompletedProcess(command, 0, stdout=" 2048\n  1024\n", stderr="")

    monkeypatch.setattr(subprocess, "run", ps)

    assert memory_bytes([1, 2], tmp_path) == 3 * MIB
    assert asked == [["ps", "-o", "rss=", "-p", "1,2"]]


def test_without_proc_and_without_the_command_nothing_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(*_: object, **__: object) -> None:
        raise FileNotFoundError("ps")

    monkeypatch.setattr(subprocess, "run", absent)

    assert memory_bytes([1], tmp_path) is None


@pytest.mark.skipif(sys.platform not in ("linux", "darwin"), reason="asks the real system")
def test_this_process_takes_some() -> None:
    found = memory_bytes([os.getpid()])

    assert found is not None
    assert MIB < found < 10_000 * MIB
