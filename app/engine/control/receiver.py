"""A worker listens: it reads the mailbox, carries out what is for it, and answers."""

import logging
import queue
import threading
import time
from typing import Any

from celery import bootsteps
from celery.utils.collections import AttributeDict
from celery.utils.functional import pass1

from app.engine.conf import engine_settings
from app.engine.control import revocations
from app.engine.control.commands import handlers
from app.engine.control.gate import Gate
from app.engine.control.letters import Letter, Posted, longest_life
from app.engine.control.mailbox import Mailbox
from app.engine.control.reader import Reader
from app.engine.errors import EngineError

logger = logging.getLogger(__name__)

#: One request. At 0.5 read units each, a month of them is 1.3 million units.
POLL_SECONDS = 1.0
#: A worker that cannot learn what is revoked and paused takes no jobs for so long; then it takes them all the same.
IGNORANCE_SECONDS = 60.0
#: For the last answers of a worker that stops.
LAST_ANSWERS_SECONDS = 3.0


class RemoteControl(bootsteps.StartStopStep):
    """Celery's consumer step in place of its own, which SQS cannot serve.

        thread: read the log ──letters──▶ event loop: carry out ──answers──▶ thread: write them

    The loop never waits for DynamoDB, and the thread touches nothing of Celery's. Without ``worker_enable_remote_control`` there is no
    such step, and nobody heeds revocations or pauses.
    """

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, consumer: Any, **kwargs: Any) -> None:
        super().__init__(consumer, **kwargs)
        settings = engine_settings()
        self._mailbox = Mailbox(settings)
        # These outlive a restart of the consumer: nothing is carried out twice.
        self._reader = Reader(self._mailbox)
        self._gate = Gate()
        # A letter, and whether it is new. Nothing: what was written before this worker started has been read.
        self._arrived: queue.SimpleQueue[tuple[Posted, bool] | None] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[tuple[Letter, Any] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._reading = threading.Lock()
        self._failing_since: float | None = None
        revocations.remember_for(longest_life(settings))

    def include_if(self, consumer: Any) -> bool:
        return bool(consumer.app.conf.worker_enable_remote_control)

    def info(self, consumer: Any) -> dict[str, Any]:
        """For ``inspect stats``."""
        return {"draining": self._gate.is_draining, "paused_queues": sorted(self._gate.paused)}

    def start(self, consumer: Any) -> None:
        self._gate.attach(consumer)
        self._answers = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._listen, args=(consumer, self._answers), name="remote-control", daemon=True)
        self._thread.start()
        # What a loop that failed has left.
        consumer.call_soon(self._work, consumer)

    def stop(self, consumer: Any) -> None:
        if self._thread is not None:
            self._answers.put(None)
            self._thread.join(LAST_ANSWERS_SECONDS)
            self._thread = None

    shutdown = stop

    # -- in the thread --------------------------------------------------------------------------------------------------------

    def _listen(self, consumer: Any, answers: "queue.SimpleQueue[tuple[Letter, Any] | None]") -> None:
        started = due = time.monotonic()
        while True:
            try:
                answer = answers.get(timeout=max(due - time.monotonic(), 0.001))
            except queue.Empty:
                self._read(consumer)
                if not self._reader.is_up_to_date and time.monotonic() - started > IGNORANCE_SECONDS:
                    consumer.call_soon(self._open_unknowing)
                due = time.monotonic() + POLL_SECONDS
                continue
            if answer is None:
                return
            self._answer(consumer.hostname, *answer)

    def _read(self, consumer: Any) -> None:
        try:
            # The thread of before a restart may still be waiting for DynamoDB: what it brings must not be read twice.
            with self._reading:
                self._read_on(consumer)
        except Exception as error:
            if self._failing_since is None:
                self._failing_since = time.monotonic()
                unexpected = error if not isinstance(error, EngineError) else None
                logger.warning("mailbox not read", extra={"reason": str(error)}, exc_info=unexpected)
            return
        if self._failing_since is not None:
            logger.info("mailbox read again", extra={"seconds": round(time.monotonic() - self._failing_since, 1)})
            self._failing_since = None

    def _read_on(self, consumer: Any) -> None:
        was_up_to_date = self._reader.is_up_to_date
        for _ in range(1 if was_up_to_date else 2):
            letters = self._reader.read()
            # At once: they are read, and the next read may fail.
            for posted in letters:
                self._arrived.put((posted, was_up_to_date))
            if self._reader.is_up_to_date:
                break
        if self._reader.is_up_to_date and not was_up_to_date:
            self._arrived.put(None)
        if not self._arrived.empty():
            consumer.call_soon(self._work, consumer)

    def _answer(self, hostname: str, letter: Letter, reply: Any) -> None:
        try:
            self._mailbox.answer(letter.ticket or "", hostname, reply)
        except EngineError as error:
            logger.warning("command not answered", extra={"command": letter.method, "reason": str(error)})
        except Exception:
            logger.exception("command not answered", extra={"command": letter.method})

    # -- in the event loop ----------------------------------------------------------------------------------------------------

    def _work(self, consumer: Any) -> None:
        if consumer.blueprint.state != bootsteps.RUN:
            return
        while True:
            try:
                arrived = self._arrived.get_nowait()
            except queue.Empty:
                return
            try:
                if arrived is None:
                    self._gate.open()
                else:
                    self._carry_out(consumer, arrived[0], is_new=arrived[1])
            except Exception:
                # Whatever it is, the worker's jobs go on.
                logger.exception("remote command failed")

    def _carry_out(self, consumer: Any, posted: Posted, *, is_new: bool) -> None:
        letter = posted.letter
        is_addressed = letter.is_for(consumer.hostname)
        if not (letter.is_lasting or (is_new and posted.counts and is_addressed)):
            return
        if is_new:
            logger.info("remote command", extra={"command": letter.method})
        reply = self._reply(consumer, letter)
        if is_new and is_addressed and letter.ticket is not None:
            self._answers.put((letter, reply))

    def _reply(self, consumer: Any, letter: Letter) -> Any:
        command = handlers().get(letter.method)
        if command is None:
            return {"error": f"this worker does not know the command {letter.method}"}
        state = AttributeDict(
            app=consumer.app,
            hostname=consumer.hostname,
            consumer=consumer,
            gate=self._gate,
            tset=pass1 if consumer.controller.use_eventloop else set,
        )
        try:
            return command(state, **letter.arguments)
        except Exception as error:
            logger.exception("remote command failed", extra={"command": letter.method})
            return {"error": repr(error)}

    def _open_unknowing(self) -> None:
        if not self._gate.is_open:
            logger.error("takes jobs without knowing what is revoked and paused: the mailbox could not be read for a minute")
            self._gate.open()
