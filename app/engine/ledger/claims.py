"""A job is claimed before it is run, so that a finished one is not run again and a running one not twice.

    (none) ──claim──▶ STARTED, fence 1, until the lease ends
    STARTED ──renewed with the visibility──▶ STARTED
       ├──── given back ─────────────────▶ STARTED, lease over
       ├──── lease over, claimed again ──▶ STARTED, fence + 1          the earlier run has lost: nothing it says is stored
       ├──── RETRY ──claim of the next attempt──▶ STARTED, fence + 1
       ├──── SUCCESS | REVOKED ──message comes again──▶ not run
       ├──── FAILURE ──the same message comes again──▶ to the dead letters: its worker had no time to move it
       │       └────── a copy of it comes ──▶ not run
       └──── its message is among the dead letters, without a cause ──▶ DEAD
    FAILURE | RETRY | IGNORED | STARTED, lease over ──sent back once more than recorded──▶ STARTED, fence + 1
    DEAD ──its message is back, whoever sent it──▶ STARTED, fence + 1

A delivery says which of the job's runs it asks for by its generation: replaced how often, then retried how often. One that
asks for an earlier generation than the recorded one is history. Source: the fencing tokens of Kleppmann, Designing
Data-Intensive Applications, chapter 8.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Protocol

from botocore.exceptions import ClientError
from celery import states

from app.engine.aws.wire import Unanswered
from app.engine.job_ledger import RUN, Admission, Delivery, RecordedFailure, Verdict
from app.engine.ledger.lineage import lineage_of
from app.topology.tables import LEDGER

KEY = LEDGER.partition_key.name
TTL = LEDGER.ttl_attribute
CONDITION_FAILED = "ConditionalCheckFailedException"
#: A retry counts one, a replacement more than any job is retried.
_RETRIES_PER_REPLACEMENT = 1_000_000
#: What fails sooner than this did not time out, and is asked once more.
QUICK_SECONDS = 1.0
SHORTEST_WAIT_SECONDS = 1
LONGEST_WAIT_SECONDS = 900

DEAD = "DEAD"
"""Not of Celery: it was delivered as often as its queue allows and never settled."""

_STATES = {
    f":{state.lower()}": {"S": state}
    for state in (states.SUCCESS, states.REVOKED, states.FAILURE, states.RETRY, states.IGNORED, states.STARTED, DEAD)
}
_IS_NEW = "attribute_not_exists(#key)"
_IS_OPEN = "NOT #state IN (:success, :revoked, :failure)"
_IS_EARLIER = "(attribute_not_exists(#generation) OR #generation < :generation)"
_OVER = (":success", ":revoked", ":failure", ":retry", ":ignored", ":dead")
_IS_RUNNING = f"NOT #state IN ({', '.join(_OVER)})"
_IS_THIS_RUN = f"{_IS_RUNNING} AND #generation = :generation"
_LEASE_IS_OVER = "#lease_until < :now"
#: The answer to our own claim got lost, and we ask again.
_IS_OURS = "(#holder = :holder AND #message_id = :message_id)"
_MAY_CLAIM = f"{_IS_NEW} OR #state = :dead OR ({_IS_OPEN} AND {_IS_EARLIER}) OR ({_IS_THIS_RUN} AND ({_LEASE_IS_OVER} OR {_IS_OURS}))"
#: Twice the same redrive is a copy.
_IS_REDRIVEN = (
    "(attribute_not_exists(#redrives) OR #redrives < :redrives)"
    f" AND (#state IN (:failure, :retry, :ignored) OR (NOT #state IN (:success, :revoked) AND {_LEASE_IS_OVER}))"
)
#: What the record of an earlier run says of its end, and what puts it where ended ones are looked for.
_ENDED = ("result", "result_at", "error", "fingerprint", "retry_at", "finished_at", "run_ms", "state_shard", "fingerprint_shard")
_REMOVED = ", ".join(f"#{name}" for name in _ENDED)
_NAMES = {"#key": KEY, "#ttl": TTL} | {f"#{name}": name for name in ("state", "fence", *_ENDED)}


class Table(Protocol):
    """DynamoDB's client, or the wire's."""

    def update_item(self, **parameters: Any) -> Mapping[str, Any]: ...
    def update_items(self, requests: Sequence[dict[str, Any]]) -> Sequence[Mapping[str, Any] | Exception]: ...


def generation_of(headers: Mapping[str, Any]) -> int:
    """Of the run that a message asks for."""
    return _whole(headers.get("replaced_task_nesting")) * _RETRIES_PER_REPLACEMENT + _whole(headers.get("retries")) + 1


class Claims:
    """A conditional write for each job, and no read. They raise what the client raises, but for a failed condition."""

    def __init__(
        self,
        client: Callable[[], Table],
        table: str,
        *,
        holder: str,
        ttl: timedelta,
        release: str = "",
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._client = client
        self._table = table
        self._holder = holder
        self._ttl = ttl
        self._release = release
        self._clock = clock

    def claim(self, wanted: Sequence[tuple[str, Delivery]], lease_seconds: float, worker: str) -> list[Admission | Exception]:
        """Claim the jobs of deliveries, given with their keys, all at once: note the fence in each, or say why it is not to be run now.

        In the place of one that the table does not answer stands what the client would raise.
        """
        now = self._clock()
        requests = [self._request(key, delivery, now, lease_seconds, worker) for key, delivery in wanted]
        return [self._admission(delivery, answer, now) for (_, delivery), answer in zip(wanted, self._answers(requests), strict=True)]

    def _answers(self, requests: list[dict[str, Any]]) -> list[Mapping[str, Any] | Exception]:
        asked_at = self._clock()
        answers = list(self._client().update_items(requests))
        failed = [position for position, answer in enumerate(answers) if isinstance(answer, OSError | Unanswered)]
        # Such as a connection that was closed meanwhile. A claim may be asked for twice: the second time it is ours.
        if failed and self._clock() - asked_at < QUICK_SECONDS:
            again = self._client().update_items([requests[position] for position in failed])
            for position, answer in zip(failed, again, strict=True):
                answers[position] = answer
        return answers

    def _request(self, key: str, delivery: Delivery, now: float, lease_seconds: float, worker: str) -> dict[str, Any]:
        headers = delivery.payload["headers"]
        told: dict[str, Any] = {
            "lease_until": _number(now + lease_seconds),
            "holder": {"S": self._holder},
            "message_id": {"S": delivery.message_id},
            "generation": {"N": str(generation_of(headers))},
            "attempts": {"N": str(_whole(headers.get("retries")) + 1)},
            "task": {"S": delivery.task},
            "queue": {"S": delivery.queue},
            "worker": {"S": worker},
            "receives": {"N": str(delivery.receive_count)},
            "claimed_at": _number(now),
            "release": {"S": self._release},
        } | _lineage(headers, delivery)
        if delivery.redrives or delivery.is_redriven:
            told["redrives"] = {"N": str(delivery.redrives)}
        # Every name is written as a placeholder: DynamoDB reserves some 570 words.
        sets = ", ".join(f"#{name} = :{name}" for name in told)
        return {
            "TableName": self._table,
            "Key": {KEY: {"S": key}},
            "UpdateExpression": (
                f"SET #state = :started, #fence = if_not_exists(#fence, :zero) + :one, #ttl = :ends, {sets} REMOVE {_REMOVED}"
            ),
            "ConditionExpression": f"{_MAY_CLAIM} OR ({_IS_REDRIVEN})" if delivery.is_redriven else _MAY_CLAIM,
            "ExpressionAttributeNames": _NAMES | {f"#{name}": name for name in told},
            "ExpressionAttributeValues": {f":{name}": value for name, value in told.items()}
            | _STATES
            | {
                ":zero": {"N": "0"},
                ":one": {"N": "1"},
                ":now": _number(now),
                ":ends": {"N": str(int(now + self._ttl.total_seconds()))},
            },
            "ReturnValues": "UPDATED_NEW",
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }

    def _admission(self, delivery: Delivery, answer: Mapping[str, Any] | Exception, now: float) -> Admission | Exception:
        if isinstance(answer, ClientError) and is_condition(answer):
            # Shown because it was asked for; botocore's own type of a response does not know it.
            stood_in_the_way: Any = answer.response.get("Item")
            return self._refusal(stood_in_the_way or {}, delivery, now)
        if isinstance(answer, Exception):
            return answer
        delivery.fence = int(answer["Attributes"]["fence"]["N"])
        return RUN

    def _refusal(self, item: Mapping[str, Any], delivery: Delivery, now: float) -> Admission:
        state = item.get("state", {}).get("S", "")
        if state == states.FAILURE and item.get("message_id", {}).get("S", delivery.message_id) == delivery.message_id:
            return Admission(verdict=Verdict.FAILED, reason="it failed for good before it was moved", failure=read_failure(item))
        if state in states.READY_STATES or state == states.IGNORED:
            return Admission(verdict=Verdict.FINISHED, reason=f"the ledger says {state}")
        is_history = int(item.get("generation", {}).get("N", 0)) > generation_of(delivery.payload["headers"]) or state == states.RETRY
        if is_history and not (delivery.is_redriven and int(item.get("redrives", {}).get("N", 0)) < delivery.redrives):
            return Admission(verdict=Verdict.FINISHED, reason="its next attempt has begun or is on its way")
        until = float(item.get("lease_until", {}).get("N", 0))
        return Admission(
            verdict=Verdict.LATER,
            reason=f"{item.get('worker', {}).get('S', 'a worker')} is running it",
            seconds=int(min(max(until - now + 1, SHORTEST_WAIT_SECONDS), LONGEST_WAIT_SECONDS)),
            is_copy=item.get("message_id", {}).get("S") != delivery.message_id,
        )

    def renew(self, key: str, delivery: Delivery, lease_seconds: float) -> bool:
        """Extend the lease. False if the claim is not this delivery's any more."""
        return self._set_lease(key, delivery, self._clock() + lease_seconds)

    def release(self, key: str, delivery: Delivery) -> bool:
        """End the lease now."""
        return self._set_lease(key, delivery, 0)

    def _set_lease(self, key: str, delivery: Delivery, until: float) -> bool:
        return self._update_ours(key, delivery, "SET #lease_until = :until", {":until": _number(until)})

    def close(self, key: str, delivery: Delivery, failure: str = "") -> bool:
        """The run is over and has nothing to say (``Ignore``): neither running nor finished, and not to be run again.

        ``failure``: it failed for good, and its result is ignored, or it was rejected.
        """
        if not failure:
            return self._update_ours(key, delivery, "SET #state = :ignored, #lease_until = :until", {":until": {"N": "0"}})
        change = "SET #state = :failure, #lease_until = :until, #error = :error"
        return self._update_ours(key, delivery, change, {":until": {"N": "0"}, ":error": {"S": failure}}, {"#error": "error"})

    def _update_ours(
        self, key: str, delivery: Delivery, change: str, values: Mapping[str, Any], names: Mapping[str, str] | None = None
    ) -> bool:
        try:
            self._client().update_item(
                TableName=self._table,
                Key={KEY: {"S": key}},
                UpdateExpression=change,
                ConditionExpression=f"#fence = :fence AND {_IS_RUNNING}",
                ExpressionAttributeNames={"#state": "state", "#fence": "fence", "#lease_until": "lease_until", **(names or {})},
                ExpressionAttributeValues={**values, ":fence": {"N": str(delivery.fence)}, **{name: _STATES[name] for name in _OVER}},
            )
        except ClientError as error:
            if not is_condition(error):
                raise
            return False
        return True


def read_failure(item: Mapping[str, Any]) -> RecordedFailure:
    """Of the record of a job that failed for good. What is not there, or is not as Celery writes it, is empty."""
    try:
        told = json.loads(item["result"]["S"])
        result = told["result"]
        kind = f"{result.get('exc_module') or ''}.{result['exc_type']}".lstrip(".").removeprefix("builtins.")
        message, trace = result["exc_message"], told.get("traceback")
    except (KeyError, TypeError, ValueError, AttributeError):
        kind, message, trace = "", item.get("error", {}).get("S", ""), ""
    text = ", ".join(str(part) for part in message) if isinstance(message, list) else str(message)
    return RecordedFailure(exception=kind, message=text, trace=str(trace or ""), attempts=int(item.get("attempts", {}).get("N", 1)))


def is_condition(error: ClientError) -> bool:
    return error.response["Error"]["Code"] == CONDITION_FAILED


def _lineage(headers: Mapping[str, Any], delivery: Delivery) -> dict[str, Any]:
    """Where the job comes from, as far as its message says."""
    lineage = lineage_of(
        task_id=delivery.task_id,
        root=headers.get("root_id"),
        parent=headers.get("parent_id"),
        group=headers.get("group"),
        tenant=delivery.system_attributes.get("MessageGroupId"),
    )
    if (sent := delivery.system_attributes.get("SentTimestamp", "")).isdigit():
        lineage["sent_at"] = _number(int(sent) / 1000)
    return lineage


def _whole(value: Any) -> int:
    return value if isinstance(value, int) and value > 0 else 0


def _number(value: float) -> dict[str, str]:
    return {"N": f"{value:.3f}"}
