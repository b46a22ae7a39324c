"""A worker that is killed at a point of an act of a saga: the whole process group, by SIGKILL, once for each death that is planned.

``PLAN`` is a directory. A file ``<subject>.<kind>.<name>.<point>`` is a death, which removes it; ``<subject>.<kind>.<name>.fails`` has the
act fail for good each time, and ``….kills`` kills whoever begins it.
"""

import os
import signal
import time
from functools import wraps
from pathlib import Path
from typing import Any

from tests.support.mortal import live  # it sets Django up

# isort: split
from app.config.celery import celery_app
from app.engine.errors import PermanentError
from app.engine.sagas import conductor, running
from app.engine.sagas.models import Act

#: In the order of an act's life. "ran" is inside the transaction of a task with ``atomic_step``.
POINTS = ("begun", "ran", "marked")


def planned(act: Act, point: str) -> Path:
    return Path(os.environ["PLAN"]) / f"{act.saga.subject}.{act.kind}.{act.name}.{point}"


def die(act: Act, point: str) -> None:
    try:
        planned(act, point).unlink()
    except FileNotFoundError:
        return
    os.killpg(os.getpgid(0), signal.SIGKILL)
    time.sleep(60)


def arm() -> None:
    begin, carry_out = conductor.begin, running._carry_out

    @wraps(begin)
    def mortal_begin(*args: Any) -> Act:
        act = begin(*args)
        if planned(act, "kills").exists():
            planned(act, "begun").touch()
        die(act, "begun")
        return act

    @wraps(carry_out)
    def mortal_carry_out(act: Act, *args: Any, **kwargs: Any) -> Any:
        if planned(act, "fails").exists():
            raise PermanentError("as it was told")
        result = carry_out(act, *args, **kwargs)
        die(act, "marked")
        return result

    setattr(conductor, "begin", mortal_begin)  # noqa: B010 — mypy believes in functions that stay
    setattr(running, "_carry_out", mortal_carry_out)  # noqa: B010 — the same
    for name, before, after in (("finish", "ran", ""), ("refuse", "ran", "marked"), ("fail", "ran", "marked")):
        _dying(name, before, after)


def _dying(name: str, before: str, after: str) -> None:
    original = getattr(conductor, name)

    @wraps(original)
    def mortal(act: Act, *args: Any, **kwargs: Any) -> None:
        die(act, before)
        original(act, *args, **kwargs)
        if after:
            die(act, after)

    setattr(conductor, name, mortal)


def worker() -> None:
    celery_app.worker_main(["worker", "--queues", "default,emails", "--concurrency", "2", "--loglevel", "INFO"])


if __name__ == "__main__":
    arm()
    live(worker)
