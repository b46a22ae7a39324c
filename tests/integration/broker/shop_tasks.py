"""The tasks of a program that runs under stock Celery and under ours: what they do, they write to a file."""

import json
import os
import time
from pathlib import Path
from typing import Any

from celery import shared_task
from celery.exceptions import Reject, SoftTimeLimitExceeded

from app.engine.broker.bulk import publish_many

GIVEN: dict[str, Any] = json.loads(os.environ["BROKER_PROGRAM"])
#: What a run may ask its request for, and finds again in the notes.
TOLD = (
    "id",
    "root_id",
    "parent_id",
    "correlation_id",
    "group",
    "group_index",
    "retries",
    "timelimit",
    "stamps",
    "stamped_headers",
    "ignore_result",
    "replaced_task_nesting",
    "called_directly",
    "is_eager",
    "lang",
    "shadow",
    "eta",
    "utc",
)


def write(what: str, job: Any) -> None:
    """One line, in one write: many processes share the file."""
    with Path(GIVEN["journal"]).open("a") as lines:
        lines.write(json.dumps([what, job, time.time(), os.getpid()]) + "\n")


@shared_task(name="shop.note")
def note(job: Any) -> Any:
    write("note", job)
    return job


@shared_task(name="shop.add")
def add(one: int, other: int) -> int:
    return one + other


@shared_task(name="shop.total")
def total(values: list[int]) -> int:
    write("total", sum(values))
    return sum(values)


@shared_task(name="shop.measure")
def measure(job: int, text: str) -> None:
    write("measure", [job, len(text), text[:1], text[-1:]])


@shared_task(name="shop.describe", bind=True, max_retries=3)
def describe(self: Any, job: Any, failures: int = 0) -> None:
    request = self.request
    write(
        "describe",
        {
            "job": job,
            **{name: getattr(request, name) for name in TOLD},
            "args": len(request.args),
            "headers": {name: request.get(name) for name in ("tenant", "nothing", "flags", "amounts") if name in request.__dict__},
            "routing_key": request.delivery_info["routing_key"],
            "exchange": request.delivery_info["exchange"],
            "redelivered": request.delivery_info["redelivered"],
            "priority": request.delivery_info.get("priority"),
            "calls": [bool(signatures) for signatures in (request.callbacks, request.errbacks, request.chain, request.chord)],
            "expires": request.expires is not None,
        },
    )
    if request.retries < failures:
        raise self.retry(countdown=0)


@shared_task(name="shop.retry", bind=True, max_retries=5)
def retry(self: Any, job: Any, failures: int) -> Any:
    write("retry", job)
    if self.request.retries < failures:
        raise self.retry(countdown=0)
    return job


@shared_task(name="shop.back_off", bind=True, autoretry_for=(KeyError,), retry_backoff=1, retry_jitter=False, max_retries=3)
def back_off(self: Any, job: Any) -> None:
    write("back_off", [job, self.request.retries])
    if self.request.retries < 2:
        raise KeyError(job)


@shared_task(name="shop.limited", rate_limit="4/s")
def limited(job: Any) -> None:
    write("limited", job)


@shared_task(name="shop.fail")
def fail(job: Any) -> None:
    write("fail", job)
    raise ValueError(f"job {job} cannot be done")


@shared_task(name="shop.reject")
def reject(job: Any) -> None:
    write("reject", job)
    raise Reject("not today", requeue=False)


@shared_task(name="shop.note_error")
def note_error(request: Any, error: Any, _trace: Any) -> None:
    write("note_error", [request.args[0], str(error)])


@shared_task(name="shop.stop_in_time", soft_time_limit=1, time_limit=20)
def stop_in_time(job: Any) -> None:
    write("stop_in_time", job)
    try:
        time.sleep(15)
    except SoftTimeLimitExceeded:
        write("stopped_in_time", job)


@shared_task(name="shop.hang", time_limit=1)
def hang(job: Any) -> None:
    write("hang", job)
    time.sleep(30)


@shared_task(name="shop.replace", bind=True)
def replace(self: Any, job: Any) -> None:
    write("replace", job)
    raise self.replace(note.si(job))


@shared_task(name="shop.spread", bind=True)
def spread(self: Any, job: int, parts: int) -> None:
    """Publish from within a run, in each way that there is."""
    write("spread", job)
    for part in range(0, parts, 2):
        note.delay([job, part])
    publish_many(note, [[[job, part]] for part in range(1, parts, 2)])


@shared_task(name="shop.forget", ignore_result=True)
def forget(job: Any) -> Any:
    write("forget", job)
    return job


@shared_task(name="shop.pid")
def pid(job: Any) -> int:
    write("pid", job)
    return os.getpid()
