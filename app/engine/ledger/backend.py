"""Celery's result backend on the ledger table."""

import json
import logging
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from billiard.process import current_process
from botocore.exceptions import BotoCoreError, ClientError
from celery import states
from celery._state import get_current_worker_task
from celery.backends.base import KeyValueStoreBackend
from celery.exceptions import BackendStoreError, Reject
from kombu.utils.encoding import bytes_to_str

from app.engine.aws import clients
from app.engine.aws.errors import is_transient
from app.engine.aws.wire import DynamoClient, Unanswered
from app.engine.conf import engine_settings
from app.engine.job_ledger import FENCE
from app.engine.ledger.book import Book, condition_of
from app.engine.ledger.claims import KEY, TTL, is_condition
from app.engine.ledger.records import describe_run
from app.topology.naming import table_name
from app.topology.tables import LEDGER

#: Characters. What might not fit into an item of 400 KB has to fail its own task, and does so only where that still runs.
LARGEST_HANDED_OVER = 90_000
_FINAL = frozenset({states.SUCCESS, states.FAILURE})
#: https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchGetItem.html
KEYS_PER_READ = 100

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
    """Stores each state with one conditional PutItem; counts chord parts with atomic updates; reads in hundreds, consistently.

    | (none) | STARTED | RETRY | ── any state ──▶ | that state |
    | SUCCESS | ── any state ──▶ | SUCCESS |        a redelivered run cannot undo it
    """

    key_t = staticmethod(bytes_to_str)
    implements_incr = True
    supports_native_join = True
    supports_autoexpire = True
    persistent = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._settings = engine_settings()
        self._table = table_name(self._settings.name_prefix, LEDGER.name)
        self._clock: Callable[[], float] = time.time

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

        A result that is too large, or not JSON, is the task's own failure and raised as such. In a worker's event loop (a run that was
        killed) a state that cannot be stored is logged and lost; the run's message is settled by Celery all the same.
        """
        try:
            return super().store_result(task_id, result, state, traceback=traceback, request=request, **kwargs)
        except (ClientError, BotoCoreError, OSError, Unanswered, BackendStoreError) as error:
            if isinstance(error, ClientError) and error.response["Error"]["Code"] == "ValidationException":
                raise
            if is_event_loop():
                logger.exception("state not stored", extra={"task_id": task_id, "state": state})
                return result
            logger.exception("ledger refuses the state, message given back", extra={"task_id": task_id, "state": state})
            raise Reject(f"The ledger refuses the state {state}: {error}", requeue=True) from error

    # -- task results ---------------------------------------------------------------------------------------------

    def _store_result(self, task_id: str, result: Any, state: str, traceback: Any = None, request: Any = None, **kwargs: Any) -> Any:
        meta = self._get_result_meta(result=result, state=state, traceback=traceback, request=request)
        meta["task_id"] = bytes_to_str(task_id)
        item = self._item(self.get_key_for_task(task_id), self.encode(meta))
        item |= describe_run(state, result, request, recorded_at=self._clock())
        book, tag = self._book_of(request)
        # The parts of a chord are counted in a moment, and whoever counts the last one reads them all.
        is_handed_over = state in _FINAL and not getattr(request, "chord", None) and len(item["result"]["S"]) <= LARGEST_HANDED_OVER
        if book is not None and is_handed_over and book.hand_over(tag, item):
            return result
        if book is not None and state == states.STARTED and FENCE in item:
            return result  # its claim says so
        try:
            self._client.put_item(TableName=self._table, Item=item, **condition_of(item))
        except ClientError as error:
            if not is_condition(error):
                raise
        if book is not None:
            book.note_stored(tag)
        return result

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
                        found[item[KEY]["S"]] = item.get("result", {}).get("S") or _claimed(item)
                pending = answer.get("UnprocessedKeys")
        return [found.get(key) for key in wanted]

    def set(self, key: str, value: Any) -> None:
        self._client.put_item(TableName=self._table, Item=self._item(key, value))

    def delete(self, key: str) -> None:
        self._client.delete_item(TableName=self._table, Key={KEY: {"S": bytes_to_str(key)}})

    def incr(self, key: str) -> int:
        answer = self._client.update_item(
            TableName=self._table,
            Key={KEY: {"S": bytes_to_str(key)}},
            UpdateExpression="ADD chord_count :one SET #ttl = :ttl",
            ExpressionAttributeNames={"#ttl": TTL},
            ExpressionAttributeValues={":one": {"N": "1"}, ":ttl": {"N": str(self._expires_at())}},
            ReturnValues="UPDATED_NEW",
        )
        return int(answer["Attributes"]["chord_count"]["N"])

    def expire(self, key: str, value: int) -> None:
        """Nothing to do: every item is written with its expiry."""

    def _expires_at(self) -> int:
        return int(self._clock() + (self.expires or self._settings.result_ttl.total_seconds()))

    def _item(self, key: str, value: Any) -> dict[str, Any]:
        return {KEY: {"S": bytes_to_str(key)}, "result": {"S": bytes_to_str(value)}, TTL: {"N": str(self._expires_at())}}


def _claimed(item: dict[str, Any]) -> str | None:
    """Of a run that has said nothing yet, what Celery says with ``task_track_started``."""
    if item.get("state", {}).get("S") != states.STARTED:
        return None
    said = {"status": states.STARTED, "result": {"hostname": item["worker"]["S"]}, "traceback": None, "children": None, "date_done": None}
    return json.dumps(said)
