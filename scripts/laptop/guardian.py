"""Ends a session's processes when the session itself was killed and could not.

A forked child that waits for the end of a pipe which only the session holds open. Unlike Linux's PR_SET_PDEATHSIG it reaches
grandchildren and works on every Unix.
"""

import os
import signal
from datetime import timedelta
from pathlib import Path

from scripts.laptop.record import ProcessMark, RunRecord

_GRACE = timedelta(seconds=1)
_MOST_FILES = 4096


class Guardian:
    """Watches this process from ``start`` to ``stop``. Start it before the first thread."""

    def __init__(self, record: Path) -> None:
        self._record = record
        self._pid: int | None = None
        self._pipe: int | None = None

    def start(self) -> None:
        session = ProcessMark.of(os.getpid())
        reader, writer = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            try:
                self._watch(session, reader)
            finally:
                os._exit(0)  # never back into the session's code
        os.close(reader)
        self._pipe = writer

    def stop(self) -> None:
        """Let it go. It ends what is still recorded, so discard the record first."""
        if self._pid is None or self._pipe is None:
            return
        os.close(self._pipe)
        os.waitpid(self._pid, 0)
        self._pid = self._pipe = None

    @property
    def pid(self) -> int | None:
        return self._pid

    def _watch(self, session: ProcessMark, reader: int) -> None:
        os.setsid()  # what the terminal sends is for the session
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
            signal.signal(number, signal.SIG_IGN)
        # The terminal, and the lock on var/, must not stay open because of us.
        nowhere = os.open(os.devnull, os.O_RDWR)
        for standard in (0, 1, 2):
            os.dup2(nowhere, standard)
        kept = os.dup2(reader, 3)
        os.closerange(4, _MOST_FILES)
        os.read(kept, 1)
        record = RunRecord.read(self._record)
        if record is not None and record.session == session:  # the next session may have written its own by now
            record.end_everything(_GRACE)
