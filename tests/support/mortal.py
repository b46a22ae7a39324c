"""Services that are killed at a step of a job's life: the whole process group, by SIGKILL, once for each job that is meant to die there.

A job's task id begins with the step at which it kills: ``ran-7``. A parent that has everything imported forks the service and forks it anew
when it was killed, so that a death costs tenths of a second. ``DEATHS`` is a directory with an empty file for each death, ``JOURNAL`` has a
line for each run that began or ended.
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable
from functools import wraps
from pathlib import Path
from typing import Any

from celery import shared_task

from app.config.environment import use_settings

use_settings()

import django  # noqa: E402 — after its settings are known

django.setup()

from app.config.celery import celery_app  # noqa: E402
from app.engine.broker.consumption import Consumption  # noqa: E402
from app.engine.broker.settlement import Settlement  # noqa: E402
from app.engine.errors import TransientError  # noqa: E402
from app.engine.ledger.backend import LedgerBackend  # noqa: E402
from app.engine.ledger.book import Book  # noqa: E402
from app.engine.outbox import relay  # noqa: E402

#: Where a worker dies, in the order of a job's life.
IN_A_WORKER = ("received", "claimed", "running", "ran", "stored", "retrying", "failed", "moved")
#: Where the relay dies.
IN_THE_RELAY = ("recorded", "sent")


def die(step: str, task_ids: Iterable[str]) -> None:
    """Kill this process group if one of these jobs is meant to die here and did not before."""
    for task_id in task_ids:
        death = Path(os.environ["DEATHS"]) / task_id
        if task_id.startswith(f"{step}-") and not death.exists():
            death.touch()
            os.killpg(os.getpgid(0), signal.SIGKILL)
            time.sleep(60)


def dying(step: str, owner: Any, name: str, ids: Callable[..., Iterable[str]], *, after: bool = False) -> None:
    """Have ``owner.name`` kill before, or after, it does its work. ``ids`` gets its arguments and, after, what it returned."""
    original = getattr(owner, name)

    @wraps(original)
    def mortal(*args: Any, **kwargs: Any) -> Any:
        if not after:
            die(step, ids(*args, **kwargs))
        result = original(*args, **kwargs)
        if after:
            die(step, ids(result))
        return result

    setattr(owner, name, mortal)


def note(line: str) -> None:
    with Path(os.environ["JOURNAL"]).open("a") as lines:
        lines.write(line + "\n")


@shared_task(name="engine.mortal", bind=True)
def mortal(self: Any, kind: str = "") -> str:
    task_id, attempt = self.request.id, self.request.retries + 1
    note(f"began {task_id} {attempt}")
    die("running", [task_id])
    note(f"ended {task_id} {attempt}")
    if kind == "fails":
        raise ValueError("as it was told")
    if kind == "retries" and attempt == 1:
        raise TransientError("as it was told")
    return str(task_id)


def arm() -> None:
    dying("received", Consumption, "_read", lambda received: [received.task_id] if received else [], after=True)
    dying("claimed", Consumption, "_admit", lambda admitted: [received.task_id for received in admitted], after=True)
    dying("ran", Book, "when_kept", lambda _book, delivery, *_args, **_options: [delivery.task_id])
    dying("stored", Settlement, "delete", lambda _settlement, received: [received.task_id])
    dying("retrying", LedgerBackend, "mark_as_retry", lambda _backend, task_id, *_args, **_options: [task_id])
    dying("failed", Settlement, "move", lambda _settlement, received, *_args: [received.task_id])
    dying("moved", Settlement, "_delete_moved", lambda _settlement, received: [received.task_id])
    dying("recorded", relay, "_record", lambda messages: [message.task_id for message in messages])
    dying("sent", relay, "_send", lambda messages: [message.task_id for message in messages])


def live(serve: Callable[[], None]) -> None:
    """Fork the service again and again, until it ends by itself or this process is told to end."""
    while True:
        parent = os.getpid()
        child = os.fork()
        if child == 0:
            os.setsid()
            threading.Thread(target=die_with, args=(parent,), daemon=True).start()
            serve()
            os._exit(0)
        pass_on(child)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status) or os.WTERMSIG(status) != signal.SIGKILL:
            return


def pass_on(child: int) -> None:
    """The signals that end a service."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _frame: os.kill(child, number))


def die_with(parent: int) -> None:
    """Nobody else knows this process group."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os.killpg(os.getpgid(0), signal.SIGKILL)


def worker() -> None:
    celery_app.worker_main(["worker", "--queues", "default", "--concurrency", "2", "--loglevel", "INFO"])


def outbox_relay() -> None:
    from django.core.management import call_command

    call_command("relay_outbox")


if __name__ == "__main__":
    arm()
    live({"worker": worker, "relay": outbox_relay}[sys.argv[1]])
