"""A plain Celery program on our transport: what it does, it writes to a file."""

import json
import os
import time
from pathlib import Path
from typing import Any

from celery.signals import task_revoked
from celery.worker import state

from app.engine.broker.program import Program
from tests.support.hostile import TASK

_given = json.loads(os.environ["BROKER_PROGRAM"])
_journal = Path(_given["journal"])

app = Program("program")
app.conf.update(
    broker_url="sqs://",
    broker_transport="app.engine.broker.transport:Transport",
    broker_transport_options=_given["options"],
    broker_connection_retry_on_startup=True,
    task_default_queue=next(iter(_given["options"]["predefined_queues"])),
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    task_acks_on_failure=False,
    task_acks_on_timeout=True,
    worker_prefetch_multiplier=1,
)
app.Task.Request = "app.engine.broker.request:Request"


def _note(what: str, job: Any) -> None:
    with _journal.open("a") as lines:
        lines.write(json.dumps([what, job, time.time(), os.getpid()]) + "\n")


@app.task
def note(job: int) -> None:
    _note("note", job)


@app.task
def take(job: int, seconds: float) -> None:
    _note("start", job)
    time.sleep(seconds)
    _note("end", job)


@app.task(bind=True, max_retries=2)
def fail(self: Any, job: int) -> None:
    _note("fail", job)
    raise self.retry(exc=ValueError(f"job {job} cannot be done"), countdown=0)


@app.task
def die(job: int) -> None:
    _note("die", job)
    os.kill(os.getpid(), 9)


@app.task(bind=True)
def try_again(self: Any, job: int) -> None:
    _note("try", job)
    if self.request.retries == 0:
        raise self.retry(countdown=0)


@app.task(bind=True, name=TASK)
def odd(self: Any, seconds: Any = 0) -> None:
    """What the messages of ``tests.support.hostile`` ask for, as far as they can be understood."""
    _note("odd", self.request.properties["delivery_info"]["sqs_message"]["MessageId"])


@task_revoked.connect
def expired(request: Any, **_: Any) -> None:
    _note("expired", request.properties["delivery_info"]["sqs_message"]["MessageId"])
    # Celery runs no job of this id any more, and hostile messages all have the same.
    state.revoked.clear()
