"""The transport's dealings with the ledger of jobs: claims before runs, results before deletes.

Everything here does nothing where there is no ledger, and a ledger that is slow holds up neither the event loop nor the
visibility heartbeat: its calls have receivers' threads, and one of their own.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable
from datetime import timedelta
from functools import partial

from app.engine.broker.housekeeping import Housekeeping
from app.engine.broker.received import Received
from app.engine.job_ledger import RUN, Admission, JobLedger, Keeping, RecordedFailure, Verdict

logger = logging.getLogger(__name__)

#: Renewed this many times per visibility timeout, as the visibility is.
RENEWALS_PER_TIMEOUT = 3
#: A claim ends this long before the message may be seen by others, so that whoever gets it finds it free.
EARLIER_SECONDS = 1.0
RENEWAL_PAUSE_SECONDS = 0.5


class Bookkeeping:
    """``ledger()`` is asked each time: the worker's application is known only when it runs.

    ``show`` makes messages visible again, ``reopen`` one that the worker had settled; ``discard`` deletes one without a run,
    ``bury`` moves one whose run has failed to the dead letters, ``put_off`` sends a copy away for some
    seconds; ``held`` are all that the worker has; ``on_lost`` gets a delivery whose claim is somebody else's.
    """

    def __init__(
        self,
        ledger: Callable[[], JobLedger | None],
        *,
        timeout_of: Callable[[str], timedelta],
        show: Callable[[Iterable[Received], int], None],
        reopen: Callable[[Received], None],
        discard: Callable[[Received], None],
        bury: Callable[[Received, RecordedFailure], None],
        put_off: Callable[[Received, int], None],
        held: Callable[[], Iterable[Received]],
        on_lost: Callable[[Received, str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ledger = ledger
        self._timeout_of = timeout_of
        self._show = show
        self._reopen = reopen
        self._discard = discard
        self._bury = bury
        self._put_off = put_off
        self._held = held
        self._on_lost = on_lost
        self._clock = clock
        self._lock = threading.Lock()
        self._unkept: dict[str, Received] = {}
        self._renewal = Housekeeping((self._renew,), pause_seconds=lambda: RENEWAL_PAUSE_SECONDS)
        self._is_renewing = False

    def admitted(self, deliveries: list[Received]) -> list[Received]:
        """In a receiver's thread: those that are to be run."""
        ledger = self._ledger()
        if ledger is None or not deliveries:
            return deliveries
        lease = self._lease_seconds(deliveries[0].url)
        return [
            delivery
            for delivery, admission in zip(deliveries, self._admissions(ledger, deliveries, lease), strict=True)
            if self._is_run(delivery, admission)
        ]

    def _admissions(self, ledger: JobLedger, deliveries: list[Received], lease: float) -> Iterable[Admission]:
        try:
            return ledger.admit(deliveries, lease)
        except Exception:
            # At least once is the transport's promise without any ledger.
            logger.exception("ledger: unexpected error, running without claims")
            return [RUN] * len(deliveries)

    def _is_run(self, delivery: Received, admission: Admission) -> bool:
        if admission.verdict is Verdict.RUN:
            if delivery.fence is not None:
                delivery.fenced_at = self._clock()
                self._start_renewal()
            return True
        logger.info(
            "job put off" if admission.verdict is Verdict.LATER else "job not run again",
            extra={"queue": delivery.queue, "task": delivery.task, "task_id": delivery.task_id, "reason": admission.reason},
        )
        if admission.verdict is Verdict.FINISHED:
            self._discard(delivery)
        elif admission.failure is not None:
            self._bury(delivery, admission.failure)
        elif admission.is_copy:
            self._put_off(delivery, admission.seconds)
        else:
            # The same message: a copy of it would begin to count its receives anew, and a job that kills its workers has to be counted.
            self._show([delivery], admission.seconds)
        return False

    def _lease_seconds(self, url: str) -> float:
        timeout = self._timeout_of(url).total_seconds()
        return max(timeout - EARLIER_SECONDS, timeout / 2)

    # -- results ----------------------------------------------------------------------------------------------------------

    def after_result(self, delivery: Received, settle: Callable[[], None], failure: str = "") -> None:
        """Have SQS told as soon as what the run had to say is kept. Never waits. ``failure``, if it has no result of its own, is kept as such."""
        ledger = self._ledger()
        if ledger is None:
            settle()
            return
        with self._lock:
            self._unkept[delivery.tag] = delivery
        ledger.when_kept(delivery, partial(self._kept, delivery, settle), failure)

    def _kept(self, delivery: Received, settle: Callable[[], None], keeping: Keeping) -> None:
        if keeping is Keeping.STORED:
            settle()
        elif keeping is Keeping.REFUSED:
            self._reopen(delivery)
        # What was lost belongs to another run, and its message, too.
        with self._lock:
            self._unkept.pop(delivery.tag, None)

    def unkept(self) -> list[Received]:
        """Runs that are over and whose results are not stored yet: their leases have to be renewed."""
        with self._lock:
            return list(self._unkept.values())

    # -- giving back ------------------------------------------------------------------------------------------------------

    def give_back(self, messages: Iterable[Received], seconds: int = 0) -> None:
        """Let others have messages at once, or after some seconds. Never waits: claims are given back first, by another thread."""
        self._let_go(messages, lambda freed: self._show(freed, seconds))

    def put_off(self, messages: Iterable[Received], send_away: Callable[[Received], None]) -> None:
        """The same for messages that are sent away for a while. Nobody claims a copy whose job is still claimed here."""

        def each(freed: list[Received]) -> None:
            for message in freed:
                send_away(message)

        self._let_go(messages, each)

    def _let_go(self, messages: Iterable[Received], then: Callable[[list[Received]], None]) -> None:
        messages = list(messages)
        claimed = [message for message in messages if message.fence is not None]
        then([message for message in messages if message.fence is None])
        ledger = self._ledger()
        if ledger is None or not claimed:
            then(claimed)
            return
        self._start_renewal()
        with self._lock:
            self._unkept |= {message.tag: message for message in claimed}
        self._renewal.soon(partial(self._release, ledger, claimed, then))

    def _release(self, ledger: JobLedger, messages: list[Received], then: Callable[[list[Received]], None]) -> None:
        try:
            ledger.release(messages)
        finally:
            then(messages)
            with self._lock:
                for message in messages:
                    self._unkept.pop(message.tag, None)

    def flush(self, within: float) -> bool:
        """Keep and give back everything that is under way, before the worker ends. False if something is left."""
        end = self._clock() + within
        ledger = self._ledger()
        is_kept = ledger is None or ledger.flush(within)
        if self._is_renewing:
            self._renewal.finish(max(end - self._clock(), 0.1))
        return is_kept and not self.unkept()

    # -- claims -----------------------------------------------------------------------------------------------------------

    def _start_renewal(self) -> None:
        with self._lock:
            if self._is_renewing:
                return
            self._is_renewing = True
        self._renewal.start()

    def _renew(self) -> None:
        ledger = self._ledger()
        now = self._clock()
        due: dict[str, list[Received]] = {}
        for delivery in self._held():
            if delivery.fence is None or delivery.is_lost:
                continue
            if now - delivery.fenced_at >= self._timeout_of(delivery.url).total_seconds() / RENEWALS_PER_TIMEOUT:
                due.setdefault(delivery.url, []).append(delivery)
        if ledger is None:
            return
        for url, deliveries in due.items():
            asked_at = self._clock()
            lost = set(ledger.renew(deliveries, self._lease_seconds(url)))
            for delivery in deliveries:
                if delivery in lost:
                    self._on_lost(delivery, "another run has claimed the job")
                else:
                    # Also when the ledger is away: asked again in its time, and the claim's end is for others to judge.
                    delivery.fenced_at = asked_at
