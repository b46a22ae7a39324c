"""Celery's result backend on the ledger table."""

import json
import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from billiard.process import current_process
from botocore.exceptions import BotoCoreError, ClientError
from celery import states
from celery._state import get_current_worker_task
from celery.backends.base import KeyValueStoreBackend
from celery.canvas import maybe_signature
from celery.exceptions import BackendStoreError, ChordError, Reject
from celery.result import GroupResult, allow_join_result
from kombu.utils.encoding import bytes_to_str

from app.engine.aws import clients
from app.engine.aws.errors import is_transient
from app.engine.aws.wire import DynamoClient, Unanswered
from app.engine.conf import engine_settings
from app.engine.failures import fingerprint_of
from app.engine.job_ledger import FENCE, fence_of
from app.engine.ledger.book import Book, condition_of
from app.engine.ledger.chords import Chords
from app.engine.ledger.claims import KEY, TTL, is_condition
from app.engine.ledger.large_results import LargeResults
from app.engine.ledger.records import describe_run, task_of
from app.topology.naming import table_name
from app.topology.tables import LEDGER

_FINAL = frozenset({states.SUCCESS, states.FAILURE})
#: A run that has said this is over, and its slot does not wait for DynamoDB.
_HANDED_OVER = _FINAL | {states.RETRY}
#: What ends a run. Every other state is what a run says of itself while it goes on.
_SETTLING = states.READY_STATES | {states.RETRY, states.IGNORED}
#: https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchGetItem.html
KEYS_PER_READ = 100

#: The attribute that holds what a run said, or where in S3 that is.
RESULT, RESULT_AT = "result", "result_at"
#: A tenth of a second of waiting at most.
TRIES_IN_THE_EVENT_LOOP = 3

logger = logging.getLogger(__name__)


def is_event_loop() -> bool:
    """Whether a worker's main thread is storing for a run that cannot do it any more, outside of any task."""
    return (
        get_current_worker_task() is None
        and current_process().name == "MainProcess"
        and threading.current_thread() is threading.main_thread()
    )


class LedgerBackend(KeyValueStoreBackend):
    """Stores each state with one conditional write; leaves final ones to the worker, which stores many together; reads in hundreds.

    | (none) | STARTED | RETRY | ── any state ──▶ | that state |
    | SUCCESS | ── any state ──▶ | SUCCESS |        a redelivered run cannot undo it
    | STARTED, claimed | ── progress ──▶ | STARTED, claimed, with the progress |
    """

    key_t = staticmethod(bytes_to_str)
    # Celery asks this to know that chords need no polling; the counting is ours.
    implements_incr = True
    supports_native_join = True
    supports_autoexpire = True
    persistent = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._settings = engine_settings()
        self._table = table_name(self._settings.name_prefix, LEDGER.name)
        self._clock: Callable[[], float] = time.time
        self._large = LargeResults(self._settings)
        self._chords = Chords(lambda: self._client, self._table, self._expires_at)
        self._this_thread = threading.local()

    @property
    def _client(self) -> DynamoClient:
        return clients.lean_dynamodb(self._settings)

    def exception_safe_to_retry(self, exc: BaseException) -> bool:
        return is_transient(exc)

    def _ensure_retryable(self, func: Any, *args: Any, **options: Any) -> Any:
        if is_event_loop():
            # Whoever waits here waits for the polls, the deletes and the pulse of the whole worker.
            options["max_retries"] = TRIES_IN_THE_EVENT_LOOP
        return super()._ensure_retryable(func, *args, **options)

    def store_result(self, task_id: str, result: Any, state: str, traceback: Any = None, request: Any = None, **kwargs: Any) -> Any:
        """Store, for as long as the table may still answer. What it refuses for good is given back to the queue.

        A result of more than 64 MiB, or that is not JSON, is the task's own failure and raised as such. In a worker's event loop (a run that was
        killed) a state that cannot be stored is logged and lost; the run's message is settled by Celery all the same.
        """
        if state in states.EXCEPTION_STATES and isinstance(result, BaseException):
            kwargs["fingerprint"] = _fingerprint(result, traceback, request)
        with self._given_back_if_refused(task_id, state):
            super().store_result(task_id, result, state, traceback=traceback, request=request, **kwargs)
        return result

    @contextmanager
    def _given_back_if_refused(self, task_id: str, state: str) -> Iterator[None]:
        try:
            yield
        except (ClientError, BotoCoreError, OSError, Unanswered, BackendStoreError) as error:
            if isinstance(error, ClientError) and error.response["Error"]["Code"] == "ValidationException":
                raise
            if is_event_loop():
                logger.exception("state not stored", extra={"task_id": task_id, "state": state})
                return
            logger.exception("ledger refuses the state, message given back", extra={"task_id": task_id, "state": state})
            raise Reject(f"The ledger refuses the state {state}: {error}", requeue=True) from error

    def mark_as_done(self, task_id: str, result: Any, request: Any = None, store_result: bool = True, state: str = states.SUCCESS) -> None:
        if not store_result or getattr(request, "ignore_result", False):
            self._keep_end(task_id, state, request)
        super().mark_as_done(task_id, result, request, store_result, state)

    def mark_as_failure(
        self,
        task_id: str,
        exc: Any,
        traceback: Any = None,
        request: Any = None,
        store_result: bool = True,
        call_errbacks: bool = True,
        state: str = states.FAILURE,
    ) -> None:
        if not store_result:
            self._keep_end(task_id, state, request, error=exc, fingerprint=_fingerprint(exc, traceback, request))
        super().mark_as_failure(task_id, exc, traceback, request, store_result, call_errbacks, state)

    # -- task results ---------------------------------------------------------------------------------------------

    def _described(self, state: str, result: Any, request: Any, fingerprint: str) -> dict[str, Any]:
        return describe_run(state, result, request, recorded_at=self._clock(), release=self._settings.release, fingerprint=fingerprint)

    def _store_result(
        self,
        task_id: str,
        result: Any,
        state: str,
        traceback: Any = None,
        request: Any = None,
        fingerprint: str = "",
        **kwargs: Any,
    ) -> Any:
        meta = self._get_result_meta(result=result, state=state, traceback=traceback, request=request)
        meta["task_id"] = bytes_to_str(task_id)
        item = self._item(self.get_key_for_task(task_id), self.encode(meta))
        item |= self._described(state, result, request, fingerprint)
        book, tag = self._book_of(request)
        if book is not None and state == states.STARTED and FENCE in item:
            return result  # its claim says so
        if FENCE in item and state not in _SETTLING:
            self._store_beside_claim(item)
        elif book is not None and state in _FINAL and FENCE in item and getattr(request, "chord", None):
            self._store_part(item)
        else:
            self._keep(book, tag, state, item)
        return result

    def _store_beside_claim(self, item: dict[str, Any]) -> bool:
        """What a run says while it goes on. False, and nothing is stored, if the claim is somebody else's by now."""
        said, before = (RESULT, RESULT_AT) if RESULT in item else (RESULT_AT, RESULT)
        try:
            self._client.update_item(
                TableName=self._table,
                Key={KEY: item[KEY]},
                UpdateExpression="SET #said = :said REMOVE #before",
                ConditionExpression="#fence = :fence AND #state = :started",
                ExpressionAttributeNames={"#said": said, "#before": before, "#fence": FENCE, "#state": "state"},
                ExpressionAttributeValues={":said": item[said], ":fence": item[FENCE], ":started": {"S": states.STARTED}},
            )
        except ClientError as error:
            if not is_condition(error):
                raise
            return False
        return True

    def _keep_end(self, task_id: str, state: str, request: Any, error: Any = None, fingerprint: str = "") -> None:
        """Of a claimed run whose result nobody wants: that it has ended, and how."""
        item = {KEY: {"S": self.get_key_for_task(task_id)}, TTL: {"N": str(self._expires_at())}}
        item |= self._described(state, error, request, fingerprint)
        if FENCE in item:
            book, tag = self._book_of(request)
            with self._given_back_if_refused(task_id, state):
                self._ensure_retryable(self._keep, book, tag, state, item)

    def _keep(self, book: "Book | None", tag: str, state: str, item: dict[str, Any]) -> None:
        """Have the worker store it with others, or store it now."""
        if book is not None and state in _HANDED_OVER and book.hand_over(tag, item):
            return
        try:
            self._client.put_item(TableName=self._table, Item=item, **condition_of(item))
        except ClientError as error:
            if not is_condition(error):
                raise
        if book is not None:
            book.note_stored(tag)

    # -- chords ---------------------------------------------------------------------------------------------------

    def _store_part(self, item: dict[str, Any]) -> None:
        """The result of a part, for whoever reads them all; the part itself is not over before it is counted.

        If it dies in between, its claim ends by itself, and it runs again.
        """
        # If another run has taken the part over, that one will count it.
        self._this_thread.part = item if self._store_beside_claim(item) else None

    def on_chord_part_return(self, request: Any, state: str, result: Any, **kwargs: Any) -> None:
        """Count a part that has ended; the last one sends the callback. A part that comes twice counts once."""
        group = request.group
        if not group:
            return
        stored = getattr(self._this_thread, "part", None)
        is_claimed = stored is not None and stored[KEY]["S"] == self.get_key_for_task(request.id)
        if not is_claimed and fence_of(request) is not None and state in _FINAL:
            return
        key = self.get_key_for_chord(group)
        ended = self._ensure_retryable(self._chords.count, key, request.id)
        size = request.chord.get("chord_size")
        if size is None or ended >= size:
            parts = GroupResult.restore(group, backend=self)
            is_complete = ended >= (len(parts) if size is None and parts is not None else size or 0)
            if is_complete and self._ensure_retryable(self._chords.close, key, request.id):
                self._finish_chord(maybe_signature(request.chord, app=self.app), group, parts)
        if stored is not None and is_claimed:
            self._this_thread.part = None
            book, tag = self._book_of(request)
            self._keep(book, tag, state, stored)

    def _finish_chord(self, callback: Any, group: str, parts: Any) -> None:
        """Send the callback with the results of all parts, or fail it. As Celery's own, whose items go when they expire."""
        if parts is None:
            self.chord_error_from_stack(callback, ChordError(f"GroupResult {group} no longer exists"))
            return
        try:
            # What a part raised is among the results; what the table raises is no fault of the chord, and is asked again.
            with allow_join_result():
                results = self._ensure_retryable(parts.join_native, timeout=self.app.conf.result_chord_join_timeout, propagate=False)
        except Exception as error:  # noqa: BLE001 — a result that is not there, or that nobody can read
            self._fail_chord(callback, group, repr(error), error)
            return
        failed = next(
            ((part, result) for part, result in zip(parts.results, results, strict=True) if isinstance(result, BaseException)), None
        )
        if failed is not None:
            culprit, raised = failed
            self._fail_chord(callback, group, f"Dependency {culprit.id} raised {raised!r}", raised)
            return
        try:
            # Sent twice, if nobody heard the answer to the first, it is one job with one id.
            self._ensure_retryable(callback.delay, results)
        except Exception as error:  # noqa: BLE001 — arguments that are not JSON, a queue that is gone
            self._fail_chord(callback, group, f"Callback error: {error!r}", error)

    def _fail_chord(self, callback: Any, group: str, reason: str, error: BaseException) -> None:
        logger.warning("chord failed", extra={"group": group, "task": callback.task, "reason": reason[:500]})
        try:
            raise ChordError(reason) from error  # noqa: TRY301 — raised to be stored
        except ChordError as failure:
            # Celery stores the traceback of what is raised, and has none to store of what is not.
            self.chord_error_from_stack(callback, failure)

    def _book_of(self, request: Any) -> "tuple[Book | None, str]":
        """Who stores the results of this run for it, if it is a run of a worker that settles its message afterwards."""
        book: Book | None = getattr(self.app, "job_ledger", None)
        tag = (getattr(request, "properties", None) or {}).get("delivery_tag")
        task = self.app.tasks.get(getattr(request, "task", None) or "") if isinstance(getattr(request, "task", None), str) else None
        if book is None or not isinstance(tag, str) or task is None or not task.acks_late or is_event_loop():
            # A run that was killed: Celery has settled its message before it says what became of it.
            return None, ""
        return book, tag

    # -- the key-value contract (groups, chords) --------------------------------------------------------------------

    def get(self, key: str) -> Any:
        return self.mget([key])[0]

    def mget(self, keys: Iterable[str]) -> list[Any]:
        wanted = [bytes_to_str(key) for key in keys]
        found: dict[str, Any] = {}
        for start in range(0, len(wanted), KEYS_PER_READ):
            pending: Any = {
                self._table: {
                    "Keys": [{KEY: {"S": key}} for key in dict.fromkeys(wanted[start : start + KEYS_PER_READ])],
                    "ConsistentRead": True,
                }
            }
            while pending:
                answer = self._client.batch_get_item(RequestItems=pending)
                for item in answer["Responses"].get(self._table, []):
                    # DynamoDB deletes expired items within days, not at once.
                    if int(item[TTL]["N"]) > self._clock():
                        found[item[KEY]["S"]] = self._said(item)
                pending = answer.get("UnprocessedKeys")
        return [found.get(key) for key in wanted]

    def set(self, key: str, value: Any) -> None:
        self._client.put_item(TableName=self._table, Item=self._item(key, value))

    def delete(self, key: str) -> None:
        self._client.delete_item(TableName=self._table, Key={KEY: {"S": bytes_to_str(key)}})

    def expire(self, key: str, value: int) -> None:
        """Nothing to do: every item is written with its expiry."""

    def _expires_at(self) -> int:
        return int(self._clock() + (self.expires or self._settings.result_ttl.total_seconds()))

    def _item(self, key: str, value: Any) -> dict[str, Any]:
        text = bytes_to_str(value)
        item = {KEY: {"S": bytes_to_str(key)}, TTL: {"N": str(self._expires_at())}}
        if self._large.is_needed(text):
            return item | {RESULT_AT: {"S": self._large.put(item[KEY]["S"], text)}}
        return item | {RESULT: {"S": text}}

    def _said(self, item: dict[str, Any]) -> str | None:
        if (key := item.get(RESULT_AT, {}).get("S")) is not None:
            text: str = self._ensure_retryable(self._large.get, key)
            return text
        return item.get(RESULT, {}).get("S") or _claimed(item)


def _claimed(item: dict[str, Any]) -> str | None:
    """Of a run that has said nothing yet, what Celery says with ``task_track_started``."""
    if item.get("state", {}).get("S") != states.STARTED:
        return None
    said = {"status": states.STARTED, "result": {"hostname": item["worker"]["S"]}, "traceback": None, "children": None, "date_done": None}
    return json.dumps(said)


def _fingerprint(error: BaseException, traceback: Any, request: Any) -> str:
    """The same as that of its dead letter."""
    task = task_of(request)
    return fingerprint_of(error, task=task, trace=str(traceback or "")) if task else ""
