"""What a worker does on command: Celery's own commands, some of them done differently, and ours.

Each runs in the thread of the event loop and waits for nothing. ``state`` is Celery's, plus our ``gate``.
"""

import logging
import os
import signal as signals
from collections.abc import Callable, Mapping
from typing import Any

from celery.worker.control import Panel, control_command, inspect_command, nok, ok

from app.engine.control import revocations

logger = logging.getLogger(__name__)

#: More would only fill the screen of who revoked them.
SHOWN_IDS = 20


def handlers() -> Mapping[str, Callable[..., Any]]:
    """Every command by its name, those that other code registers with Celery included."""
    return {**Panel.data, **_INSTEAD}


# -- ours ---------------------------------------------------------------------------------------------------------------


def pause_queue(state: Any, queue: str, **_: Any) -> dict[str, Any]:
    """Receive no more from a queue, on every worker, until it is resumed."""
    state.gate.pause(queue)
    return _said(f"paused {queue}")


def resume_queue(state: Any, queue: str, **_: Any) -> dict[str, Any]:
    """Receive from a paused queue again, on every worker that has it."""
    state.gate.resume(queue)
    return _said(f"resumed {queue}")


def drain(state: Any, **_: Any) -> dict[str, Any]:
    """Take no more jobs, and finish those that run. Needs --destination."""
    state.gate.drain()
    return _said("draining")


def undrain(state: Any, **_: Any) -> dict[str, Any]:
    """Take jobs again after a drain."""
    state.gate.undrain()
    return _said("takes jobs again")


def paused_queues(state: Any, **_: Any) -> list[str]:
    """List the queues that are paused."""
    return sorted(state.gate.paused)


control_command(args=[("queue", str)], signature="<queue>")(pause_queue)
control_command(args=[("queue", str)], signature="<queue>")(resume_queue)
control_command()(drain)
control_command()(undrain)
inspect_command()(paused_queues)


# -- Celery's, done differently -----------------------------------------------------------------------------------------


def _revoke(state: Any, task_id: Any, terminate: bool = False, signal: Any = None, **_: Any) -> dict[str, Any]:
    """Celery's would ask the result store about each id, and write to it, in the event loop of every worker."""
    task_ids = revocations.ids_of(task_id)
    revocations.revoke_ids(task_ids)
    if terminate:
        return _terminate(state, revocations.held_by_id(task_ids), signal)
    shown = ", ".join(task_ids[:SHOWN_IDS])
    more = f" and {len(task_ids) - SHOWN_IDS} more" if len(task_ids) > SHOWN_IDS else ""
    return _said(f"tasks {shown}{more} flagged as revoked")


def _terminate_by_id(state: Any, signal: Any, task_id: Any, **_: Any) -> dict[str, Any]:
    return _revoke(state, task_id, terminate=True, signal=signal)


def _revoke_by_stamps(state: Any, headers: Any, terminate: bool = False, signal: Any = None, **_: Any) -> dict[str, Any]:
    stamps = revocations.stamps_of(headers)
    revocations.revoke_stamps(stamps)
    if terminate:
        return _terminate(state, revocations.running_by_stamp(stamps), signal)
    return _said(f"headers {stamps} flagged as revoked, but not terminated")


def _shutdown(_state: Any, **_: Any) -> dict[str, Any]:
    """The way ECS stops a worker: runs may finish, within the grace. Celery's raises, and the caller gets no answer."""
    os.kill(os.getpid(), signals.SIGTERM)
    return _said("shutting down")


def _add_consumer(state: Any, queue: str, **_: Any) -> dict[str, Any]:
    """Celery's would have SQS asked for a queue that may not exist, and would receive from one that is paused."""
    queues = state.app.amqp.queues
    if queue not in queues:
        refused: dict[str, Any] = nok(f"there is no queue {queue}; the queues are {', '.join(sorted(queues))}")
        return refused
    queues.select_add(queues[queue])
    state.gate.enforce()
    return _said(f"add consumer {queue}" + (", which is paused" if queue in state.gate.paused else ""))


def _cancel_consumer(state: Any, queue: str, **_: Any) -> dict[str, Any]:
    state.consumer.cancel_task_queue(queue)
    return _said(f"no longer consuming from {queue}")


def _terminate(state: Any, requests: list[Any], signal: Any) -> dict[str, Any]:
    try:
        ended = revocations.terminate(requests, state.consumer.pool, signal)
    except NotImplementedError:
        refused: dict[str, Any] = nok("revoked, but it runs on: this pool cannot end a run, only prefork can")
        return refused
    return _said(f"terminate: {', '.join(ended) or 'tasks unknown'}")


def _said(what: str) -> dict[str, Any]:
    answer: dict[str, Any] = ok(what)
    return answer


_INSTEAD: Mapping[str, Callable[..., Any]] = {
    "revoke": _revoke,
    "terminate": _terminate_by_id,
    "revoke_by_stamped_headers": _revoke_by_stamps,
    "shutdown": _shutdown,
    "add_consumer": _add_consumer,
    "cancel_consumer": _cancel_consumer,
}
