"""Child processes that end when we do: on success, on failure and on Ctrl-C."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import IO

REPOSITORY = Path(__file__).resolve().parents[1]
#: Everything else of our environment stays out: an AWS profile, a proxy or a Django setting would be measured, too.
_INHERITED = ("PATH", "HOME", "LANG", "TMPDIR")


@contextlib.contextmanager
def running(
    arguments: Sequence[str],
    environment: Mapping[str, str],
    *,
    patience: timedelta,
    stdout: int | IO[bytes],
    stderr: int | IO[bytes] | None = None,
) -> "Iterator[subprocess.Popen[bytes]]":
    """Run ``python arguments`` in a process group of its own; afterwards SIGTERM, and SIGKILL to the group after ``patience``."""
    process = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=REPOSITORY,
        env={name: os.environ[name] for name in _INHERITED if name in os.environ} | dict(environment),
        stdin=subprocess.PIPE,
        stdout=stdout,
        stderr=stderr,
        # Ctrl-C is for us: we choose the order in which things end.
        start_new_session=True,
    )
    try:
        yield process
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(patience.total_seconds())
        # The group, as a killed worker leaves children. Until we have waited for it, nobody else can have its number.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
