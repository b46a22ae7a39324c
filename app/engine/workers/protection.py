"""A long run keeps ECS from taking its task away.

    open ── a run is longer than the limit: ask ──▶ protected for 10 minutes ── half of them over, still long: ask again ──▶ protected
      ▲          └─ refused, silent: later again ─┘        │ nothing long has run for 10 s, or the worker ends: withdraw
      └───────────────────── answered ─────────────────────┴──▶ refused, silent: later again, until the 10 minutes are over

Between the end of a long run and the withdrawal lie some seconds: where one run follows another ECS finds no gap to take the task away in,
and is asked less.

A worker whose event loop hangs asks no more, and one that is frozen or killed cannot: its protection expires.
"""

import logging
import math
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

from celery import bootsteps

from app.engine.aws.backoff import Backoff
from app.engine.conf import engine_settings
from app.engine.errors import EngineError
from app.engine.workers import ecs
from app.engine.workers.records import SILENT_AFTER
from app.engine.workers.running import longest_run_seconds

logger = logging.getLogger(__name__)

#: How long a frozen worker may keep ECS waiting at most.
PROTECTED_FOR = timedelta(minutes=10)
LOOK_SECONDS = 1.0
#: For so long a worker whose long run has ended stays protected: the next one may begin.
LINGER_SECONDS = 10.0
#: The agent's answer comes from ECS, which throttles an account.
LONGEST_PAUSE_SECONDS = 60.0
#: A worker that ends waits no longer for the agent: its task ends with it.
LAST_WORD_SECONDS = 3.0


class Protection:
    """The protection of this process's task, as far as ECS has said. One worker a task: two would withdraw each other's.

    ``protect`` and ``unprotect`` raise :class:`~app.engine.workers.ecs.EcsRefused` if nothing was done,
    :class:`~app.engine.workers.ecs.EcsSilent` if nobody knows.
    """

    def __init__(
        self,
        *,
        limit: timedelta,
        protect: Callable[[timedelta], None],
        unprotect: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limit = limit.total_seconds()
        self._protect = protect
        self._unprotect = unprotect
        self._clock = clock
        self._certain_until = 0.0
        self._possible_until = 0.0
        self._again_at = 0.0
        self._long_at = -math.inf
        self._backoff = Backoff(longest_seconds=LONGEST_PAUSE_SECONDS)

    @property
    def is_protected(self) -> bool:
        """By ECS's own answer, and not expired."""
        return self._clock() < self._certain_until

    def follow(self, longest_run_seconds: float) -> None:
        """Ask for what the longest run needs, if it is not there and it is time to ask. At most one call, of six seconds."""
        now = self._clock()
        is_long = longest_run_seconds > self._limit
        if is_long:
            self._long_at = now
        if now < self._again_at:
            return
        if is_long:
            if now >= self._certain_until - PROTECTED_FOR.total_seconds() / 2:
                self._try(self._ask)
        elif now < self._possible_until and now - self._long_at >= LINGER_SECONDS:
            self._try(self._withdraw)

    def end(self) -> None:
        """Withdraw, whatever still runs: one call at most."""
        if self._clock() < self._possible_until:
            self._try(self._withdraw)

    def _ask(self) -> None:
        # Counted from before the call: ECS's ten minutes begin later, and so do not end before ours.
        until = self._clock() + PROTECTED_FOR.total_seconds()
        was_protected = self.is_protected
        try:
            self._protect(PROTECTED_FOR)
        except ecs.EcsSilent:
            self._possible_until = until
            raise
        self._certain_until = self._possible_until = until
        if not was_protected:
            logger.info("protected from scale-in: a run is long")

    def _withdraw(self) -> None:
        self._unprotect()
        self._certain_until = self._possible_until = 0.0
        logger.info("no longer protected from scale-in")

    def _try(self, call: Callable[[], None]) -> None:
        try:
            call()
        except EngineError as error:
            if self._backoff.failed():
                logger.warning("protection from scale-in not changed", extra={"reason": str(error)})
        else:
            if self._backoff.succeeded():
                logger.info("protection from scale-in can be changed again")
        self._again_at = self._clock() + self._backoff.pause_seconds


class ScaleInProtection(bootsteps.StartStopStep):
    """Celery's consumer step that protects this worker's ECS task while a run is long. There is none outside of ECS.

    A thread asks, so an agent that is slow or away holds up neither the loop nor a job. It goes on while a stopping worker finishes
    its runs. Solo, the loop is the run: such a worker is not protected.
    """

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, consumer: Any, **kwargs: Any) -> None:
        super().__init__(consumer, **kwargs)
        settings = engine_settings()
        self._is_in_ecs = settings.ecs_agent_url is not None
        url = settings.ecs_agent_url or ""
        self._protection = Protection(
            limit=settings.protect_runs_after, protect=partial(ecs.protect, url), unprotect=partial(ecs.unprotect, url)
        )
        self._turned_at = time.monotonic()
        self._is_looping = False
        self._ended = threading.Event()
        self._timer: Any = None
        self._thread: threading.Thread | None = None

    def include_if(self, consumer: Any) -> bool:
        return self._is_in_ecs

    def info(self, consumer: Any) -> dict[str, Any]:
        """For ``inspect stats``, and the heartbeat."""
        return {"protected": self._protection.is_protected}

    def start(self, consumer: Any) -> None:
        self._turn()
        self._is_looping = True
        self._timer = consumer.timer.call_repeatedly(LOOK_SECONDS, self._turn)
        if self._thread is None:
            self._thread = threading.Thread(target=self._follow, name="scale-in-protection", daemon=True)
            self._thread.start()

    def stop(self, consumer: Any) -> None:
        """The consumer begins anew, or the worker ends: from now on its loop says nothing of its health."""
        self._is_looping = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def shutdown(self, consumer: Any) -> None:
        """The last run has ended."""
        self.stop(consumer)
        if self._thread is not None:
            self._ended.set()
            self._thread.join(LAST_WORD_SECONDS)

    def _turn(self) -> None:
        self._turned_at = time.monotonic()

    def _follow(self) -> None:
        while not self._ended.wait(LOOK_SECONDS):
            try:
                if not (self._is_looping and time.monotonic() - self._turned_at > SILENT_AFTER.total_seconds()):
                    self._protection.follow(longest_run_seconds())
            except Exception:
                logger.exception("protection from scale-in not looked after")
        self._protection.end()
