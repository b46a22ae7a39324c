"""Which job ran when: one file to which every run of every process appends one record.

A record goes in by one ``write`` to a file opened for appending, which Linux does not tear: no run is lost or counted twice,
whichever processes and threads write. It costs a run about a microsecond.
"""

import os
import struct
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

#: Sequence number of the job, when it was sent, when its run began; by the machine's wall clock.
_RECORD = struct.Struct("<qdd")


@dataclass(frozen=True, slots=True)
class Run:
    """One run of one job."""

    sequence: int
    sent_at: float
    began_at: float


class Tally:
    """The writing side, one per process. Records are complete or not there."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def add(self, sequence: int, sent_at: float, began_at: float) -> None:
        os.write(self._file, _RECORD.pack(sequence, sent_at, began_at))


def count_runs(path: Path) -> int:
    return path.stat().st_size // _RECORD.size if path.exists() else 0


def read_runs(path: Path, start: int = 0) -> list[Run]:
    """The runs since the ``start``-th, in the order in which they began, as near as processes agree on it."""
    if not path.exists():
        return []
    return [Run(*record) for record in _RECORD.iter_unpack(path.read_bytes()[start * _RECORD.size :])]


def doubles(runs: Sequence[Run], copies: int = 1) -> int:
    """How many runs there were beyond one a message, if each job was sent so many times."""
    return sum(max(0, times - copies) for times in Counter(run.sequence for run in runs).values())
