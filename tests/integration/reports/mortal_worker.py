"""A reports worker with small parts, which is killed at ordered steps and forked anew.

``DEATHS`` is a directory: a file with the name of a step orders one death there.
"""

import os
import signal
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

# Before the others: it sets Django up.
from tests.support.mortal import live

# isort: split
from app.config.celery import celery_app
from app.workload.reports import files, generating, services


def die(step: str) -> None:
    ordered = Path(os.environ["DEATHS"]) / step
    if ordered.is_file():
        ordered.unlink()
        os.killpg(os.getpgid(0), signal.SIGKILL)
        time.sleep(60)


def dying(owner: Any, name: str, before: str = "", after: str = "") -> None:
    original: Callable[..., Any] = getattr(owner, name)

    @wraps(original)
    def mortal(*args: Any, **options: Any) -> Any:
        die(before)
        result = original(*args, **options)
        die(after)
        return result

    setattr(owner, name, mortal)


def between_sources(save: Callable[..., None]) -> Callable[..., None]:
    seen: list[int] = []

    def watched(track: Any, position: Any) -> None:
        save(track, position)
        if seen and position.source > seen[-1]:
            die("between")
        seen.append(position.source)

    return watched


def work() -> None:
    generating.ROWS_PER_PART = 40
    dying(files, "store_bytes", before="storing", after="stored")
    generating.save = between_sources(generating.save)
    # Beneath the save in its transaction: what follows it is committed.
    dying(generating, "_store_part", after="saved")
    dying(files, "store_file", after="written")
    dying(services, "_finish", before="finishing", after="finished")
    celery_app.worker_main(["worker", "--queues", "reports", "--concurrency", "2", "--loglevel", "INFO"])


if __name__ == "__main__":
    live(work)
