"""A worker says that it lives."""

import logging
import os
import threading
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from celery import bootsteps

from app.engine.conf import engine_settings
from app.engine.errors import EngineError
from app.engine.pulse import beat_pulse
from app.engine.workers.identity import TaskIdentity
from app.engine.workers.memory import memory_bytes
from app.engine.workers.records import HEARTBEAT, WorkerRecord
from app.engine.workers.registry import Entry
from app.engine.workers.run_time import RecentRuns
from app.engine.workers.running import begun_count, reserved_count, running_jobs, running_requests
from app.engine.workers.slots import SlotFigures

logger = logging.getLogger(__name__)

_ENDS = (bootsteps.CLOSE, bootsteps.TERMINATE)


class Heartbeat(bootsteps.StartStopStep):
    """Celery's consumer step that keeps the worker's item and its pulse file fresh, from its start until its last run has ended.

    The event loop takes the snapshot and touches the file, so a loop that hangs is silent; a thread does the writing,
    so a slow DynamoDB does not hold up the loop. Where no loop turns, as in a worker that finishes its last runs, the thread does both,
    without the file. Solo, the loop is the run: such a worker is silent meanwhile.
    """

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, consumer: Any, **kwargs: Any) -> None:
        super().__init__(consumer, **kwargs)
        self._settings = engine_settings()
        self._entry = Entry(self._settings, consumer.hostname)
        self._identity = TaskIdentity(self._settings)
        self._slots = SlotFigures(self._settings)
        self._started_at = datetime.now(UTC)
        self._recent = RecentRuns()
        self._snapshot: tuple[WorkerRecord, list[int]] | None = None
        self._taken = threading.Event()
        self._ended = threading.Event()
        self._is_looping = False
        self._timer: Any = None
        self._thread: threading.Thread | None = None

    def start(self, consumer: Any) -> None:
        self._is_looping = True
        self._turn(consumer)
        self._timer = consumer.timer.call_repeatedly(HEARTBEAT.total_seconds(), self._turn, (consumer,))
        if self._thread is None:
            self._thread = threading.Thread(target=self._report, args=(consumer,), name="worker-heartbeat", daemon=True)
            self._thread.start()

    def stop(self, consumer: Any) -> None:
        """The consumer begins anew, or the worker ends."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._is_looping = False
        self._taken.set()

    def shutdown(self, consumer: Any) -> None:
        """The last run has ended: the worker leaves the list."""
        self.stop(consumer)
        if self._thread is not None:
            self._ended.set()
            self._taken.set()
            self._thread.join(timeout=3)
            self._thread = None
            try:
                self._entry.remove()
            except EngineError as error:
                logger.warning("worker not signed off", extra={"reason": str(error)})

    def _turn(self, consumer: Any) -> None:
        beat_pulse(self._settings)
        self._take(consumer)
        self._taken.set()

    def _take(self, consumer: Any) -> None:
        # What other steps tell of themselves: remote control and scale-in protection are strangers to this room.
        told = consumer.blueprint.info(consumer)
        requests = running_requests()
        self._recent.note(busy=len(requests), begun=begun_count())
        held = getattr(getattr(consumer.task_consumer, "channel", None), "held_count", 0)
        record = WorkerRecord(
            hostname=consumer.hostname,
            service=self._settings.service,
            queues=tuple(consumer.app.amqp.queues.consume_from),
            paused=tuple(told.get("paused_queues", ())),
            slots=consumer.pool.num_processes,
            busy=len(requests),
            running=running_jobs(requests),
            reserved=max(max(held, reserved_count()) - len(requests), 0),
            busy_seconds=self._recent.busy_seconds,
            runs=self._recent.runs,
            release=self._settings.release,
            ecs_task=self._identity.arn,
            is_draining=bool(told.get("draining")),
            is_stopping=consumer.blueprint.state in _ENDS,
            is_protected=bool(told.get("protected")),
            started_at=self._started_at,
            seen_at=datetime.now(UTC),
        )
        self._snapshot = record, list({os.getpid(), *consumer.pool.info.get("processes", ())})

    def _take_what_ends(self, consumer: Any) -> None:
        """Where no loop turns: the pool may be gone already, so what it said last still stands."""
        assert self._snapshot is not None  # noqa: S101 — for the type checker: the loop has turned once
        record, pids = self._snapshot
        is_stopping = consumer.blueprint.state in _ENDS
        requests = running_requests()
        record = replace(
            record,
            busy=len(requests),
            running=running_jobs(requests),
            reserved=0 if is_stopping else record.reserved,
            is_stopping=is_stopping,
            is_protected=bool(consumer.blueprint.info(consumer).get("protected")),
            seen_at=datetime.now(UTC),
        )
        self._snapshot = record, pids

    def _report(self, consumer: Any) -> None:
        failing = False
        while not self._ended.is_set():
            self._taken.wait(None if self._is_looping else HEARTBEAT.total_seconds())
            self._taken.clear()
            try:
                if self._ended.is_set():
                    return
                if not self._is_looping:
                    self._take_what_ends(consumer)
                self._write()
                failing = False
            except EngineError as error:
                if not failing:
                    logger.warning("worker not reported", extra={"reason": str(error)})
                failing = True
            except Exception:
                logger.exception("worker not reported")
            self._identity.read()

    def _write(self) -> None:
        assert self._snapshot is not None  # noqa: S101 — for the type checker: the loop has turned once
        record, pids = self._snapshot
        self._slots.tell(record)
        self._entry.report(replace(record, memory_bytes=memory_bytes(pids)))
