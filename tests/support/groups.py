"""Process groups that a test has started, and nobody else's.

A suite starts so many processes that pids come round again within minutes: what a killed service was called may be another's by now.
"""

import os
import signal
from contextlib import suppress

import psutil

from scripts.laptop.record import ProcessMark

__all__ = ["ProcessMark", "kill_group"]


def kill_group(mark: ProcessMark) -> None:
    """SIGKILL to whoever is left of the group of this leader."""
    if mark.is_alive():
        os.killpg(mark.pid, signal.SIGKILL)  # all at once: none of them forks meanwhile
        return
    for process in mark.group():
        with suppress(psutil.NoSuchProcess):
            process.kill()
