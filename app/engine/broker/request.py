"""A run that failed for good takes its message to the dead letters, with its cause, in the moment that Celery learns of it."""

from typing import Any

from billiard.einfo import ExceptionWithTraceback
from billiard.exceptions import Terminated, TimeLimitExceeded, WorkerLostError
from celery.exceptions import Ignore, Reject, Retry
from celery.worker.request import Request as CeleryRequest

from app.engine.broker.dead_letters import Cause, Reason, failure
from app.engine.broker.put_off import PutOff

HIDDEN = "…"
#: Celery has its own words for these: retried, given back, acknowledged, revoked.
_NOT_FAILURES = (Ignore, Retry, WorkerLostError, Terminated)


class Request(CeleryRequest):
    """Celery's request. Use: ``Task.Request = "app.engine.broker.request:Request"``, with ``task_acks_on_failure = False``.

    A run whose process was lost is not a failure: its message is delivered again, and the redrive policy counts.
    """

    _is_failed = False
    _is_cut_off = False

    def info(self, safe: bool = False) -> dict[str, Any]:
        """What remote control tells of a job. Never its arguments: they may hold secrets, and answers lie in a table for a while."""
        told: dict[str, Any] = super().info(safe=True)
        return told | {"args": HIDDEN, "kwargs": HIDDEN}

    def on_failure(self, exc_info: Any, send_failed_event: bool = True, return_ok: bool = False) -> Any:
        error = exc_info.exception
        if isinstance(error, ExceptionWithTraceback):
            error = error.exc
        if isinstance(error, TimeLimitExceeded):
            self._note_killed(error.args[0])
        elif isinstance(error, PutOff):
            self._put_off(error)
        elif isinstance(error, Reject) and not error.requeue:
            self._note(Cause(reason=Reason.REJECTED, message=str(error.reason)[:1000], task=self.name, attempts=self._attempts))
        elif isinstance(error, Exception) and not isinstance(error, (*_NOT_FAILURES, Reject)):
            self._note(failure(error, task=self.name, attempts=self._attempts, trace=str(exc_info.traceback or "")))
        return super().on_failure(exc_info, send_failed_event, return_ok)

    def on_timeout(self, soft: bool, timeout: float) -> None:
        # A prefork pool has called on_failure before this; others call only this.
        if not soft and not self.acknowledged:
            self._note_killed(timeout)
        super().on_timeout(soft, timeout)

    def cancel(self, pool: Any, signal: Any = None, emit_retry: bool = True) -> None:
        # A greenlet that is killed, Celery's pool reports as a success. The job has not been done.
        self._is_cut_off = pool.is_green and not self.acknowledged
        super().cancel(pool, signal, emit_retry)

    def acknowledge(self) -> None:
        if self._is_failed:
            self.reject(requeue=False)
        elif self._is_cut_off:
            self.reject(requeue=True)
        else:
            super().acknowledge()

    def _note_killed(self, timeout: float) -> None:
        # Celery acknowledges a run that it had to kill, or runs it again for as long as the queue allows. It failed.
        self._note(failure(TimeLimitExceeded(timeout), task=self.name, attempts=self._attempts, text=f"killed after {timeout:g} s"))
        self._is_failed = True

    def _put_off(self, error: PutOff) -> None:
        # Before Celery gives the message back, which frees the slot.
        channel: Any = self.message.channel
        if hasattr(channel, "note_put_off"):
            channel.note_put_off(self.message.delivery_tag, error)
            if (hear := getattr(self.task.app, "when_put_off", None)) is not None:
                hear(error, channel)

    @property
    def _attempts(self) -> int:
        return int(self._request_dict.get("retries") or 0) + 1

    def _note(self, cause: Cause) -> None:
        channel: Any = self.message.channel
        if hasattr(channel, "note_cause"):
            channel.note_cause(self.message.delivery_tag, cause)
