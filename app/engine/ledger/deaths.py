"""A job that was delivered as often as its queue allows and never settled: SQS has moved its message, and no worker could say so.

(none) ──────────────────────────────▶ DEAD
STARTED, lease over | RETRY | any other open state ──▶ DEAD      unless the record is of a later attempt than the message
SUCCESS | FAILURE | REVOKED | IGNORED | DEAD ──▶ as it was
STARTED, lease not over ──▶ as it was, for now: a claim may outlast its message by a lease
DEAD ──its message is back──▶ STARTED, by a claim
"""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any

from botocore.exceptions import ClientError
from celery import states

from app.engine.ledger.claims import DEAD, KEY, TTL, Table, is_condition
from app.engine.ledger.records import index_keys

_IS_NEW = "attribute_not_exists(#key)"
_IS_OPEN = "NOT #state IN (:success, :failure, :revoked, :ignored, :dead)"
_NOBODY_RUNS_IT = "(#state <> :started OR #lease_until < :now)"
_IS_NOT_LATER = (
    "(attribute_not_exists(#redrives) OR #redrives <= :redrives)"
    " AND (attribute_not_exists(#generation) OR #generation <= :generation OR #redrives < :redrives)"
)
_MAY_DIE = f"{_IS_NEW} OR ({_IS_OPEN} AND {_NOBODY_RUNS_IT} AND {_IS_NOT_LATER})"


class Recorded(Enum):
    YES = "yes"
    KNOWN_BETTER = "known better"
    """It has ended, or a later attempt of it is on its way."""
    NOT_YET = "not yet"
    """Somebody's claim is not over: ask again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Death:
    """What the message of a dead job says."""

    task_id: str
    task: str
    queue: str
    generation: int
    """Of the run that it asks for."""
    attempts: int
    redrives: int
    error: str
    letter: str
    """Its id among the dead letters."""


class Deaths:
    """One conditional write each. Raises what the client raises, but for a failed condition."""

    def __init__(
        self,
        client: Callable[[], Table],
        table: str,
        *,
        key_of: Callable[[str], str],
        ttl: timedelta,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._client = client
        self._table = table
        self._key_of = key_of
        self._ttl = ttl
        self._clock = clock

    def record(self, death: Death) -> Recorded:
        """Say in the job's record that it is dead. Whoever waits for the job gets a ``WorkerLostError``."""
        now = self._clock()
        told: dict[str, Mapping[str, str]] = {
            "state": {"S": DEAD},
            "task": {"S": death.task},
            "queue": {"S": death.queue},
            "generation": {"N": str(death.generation)},
            "attempts": {"N": str(death.attempts)},
            "redrives": {"N": str(death.redrives)},
            "error": {"S": death.error},
            "letter": {"S": death.letter},
            "result": {"S": _result(death, now)},
            "ttl": {"N": str(int(now + self._ttl.total_seconds()))},
        } | index_keys(death.task_id, DEAD, now)
        names = {f"#{name}": name for name in told} | {"#key": KEY, "#ttl": TTL, "#lease_until": "lease_until"}
        values: dict[str, Any] = {f":{name}": value for name, value in told.items()}
        closed = (states.SUCCESS, states.FAILURE, states.REVOKED, states.IGNORED, states.STARTED, DEAD)
        try:
            self._client().update_item(
                TableName=self._table,
                Key={KEY: {"S": self._key_of(death.task_id)}},
                UpdateExpression="SET " + ", ".join(f"#{name} = :{name}" for name in told),
                ConditionExpression=_MAY_DIE,
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
                ExpressionAttributeNames=names,
                ExpressionAttributeValues=values | {f":{state.lower()}": {"S": state} for state in closed} | {":now": {"N": f"{now:.3f}"}},
            )
        except ClientError as error:
            if not is_condition(error):
                raise
            # Shown because it was asked for; botocore's own type of a response does not know it.
            stood_in_the_way: Any = error.response
            return _why(stood_in_the_way.get("Item") or {}, now)
        return Recorded.YES


def _why(item: Mapping[str, Any], now: float) -> Recorded:
    is_claimed = item.get("state", {}).get("S") == states.STARTED and float(item.get("lease_until", {}).get("N", 0)) >= now
    return Recorded.NOT_YET if is_claimed else Recorded.KNOWN_BETTER


def _result(death: Death, now: float) -> str:
    """As Celery's codec writes a failure."""
    return json.dumps(
        {
            "status": states.FAILURE,
            "result": {"exc_type": "WorkerLostError", "exc_message": [death.error], "exc_module": "billiard.exceptions"},
            "traceback": None,
            "children": [],
            "date_done": datetime.fromtimestamp(now, UTC).isoformat(),
            "task_id": death.task_id,
        }
    )
