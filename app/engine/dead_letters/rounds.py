"""Which clerk looks through a queue, and when: one item a queue, so that many relays do not look for the same.

(none) | over ──begin──▶ under way until … ──end──▶ over: what was seen
                           └─ its clerk died ──▶ over by itself
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from app.engine.aws import clients
from app.engine.aws.errors import translated
from app.engine.conf import EngineSettings
from app.engine.dead_letters.letter import KEY, TTL
from app.topology.naming import table_name
from app.topology.tables import LEDGER

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

#: A queue whose count is what it was is looked through all the same: one letter may have gone, and another come.
AT_LEAST_EVERY = timedelta(minutes=10)
#: What was not seen, a letter of the index or a message that SQS counted, is looked for this soon.
MISSED_EVERY = timedelta(seconds=30)
_KEPT = timedelta(days=15)
_PREFIX = "dead-letters-of-"
_UNKNOWN = -1
_IS_FREE = "attribute_not_exists(#until) OR #until < :now"


@dataclass(frozen=True, kw_only=True, slots=True)
class Round:
    """The last look through a queue."""

    ended_at: float = 0.0
    left: int = _UNKNOWN
    """Messages that SQS counted when it began."""
    missing: int = 0
    """Letters in the index, or messages that SQS counted, that it did not see."""
    until: float = 0.0
    """Another one is under way, or somebody sends letters back and wants no clerk in between."""

    def is_due(self, count: int, now: float) -> bool:
        if self.until > now:
            return False
        pause = MISSED_EVERY if self.missing else AT_LEAST_EVERY
        return count != self.left or now - self.ended_at >= pause.total_seconds()


class Rounds:
    """Raises :class:`~app.engine.aws.errors.AwsUnavailable` or ``AwsRefused``."""

    def __init__(self, settings: EngineSettings, clock: Callable[[], float] = time.time) -> None:
        self._settings = settings
        self._table = table_name(settings.name_prefix, LEDGER.name)
        self._clock = clock

    @property
    def _client(self) -> "DynamoDBClient":
        return clients.dynamodb(self._settings)

    def last(self, queue: str) -> Round:
        with translated("read the last look at the dead letters"):
            item: Any = self._client.get_item(TableName=self._table, Key=_key(queue), ConsistentRead=True).get("Item", {})

        def number(name: str, default: float) -> float:
            return float(item[name]["N"]) if name in item else default

        return Round(
            ended_at=number("ended_at", 0), left=int(number("left", _UNKNOWN)), missing=int(number("missing", 0)), until=number("until", 0)
        )

    def begin(self, queue: str, seconds: float) -> bool:
        """Keep other clerks from this queue for so long. False if one is at it."""
        return self._update(queue, {"until": self._clock() + seconds}, condition=_IS_FREE)

    def keep_off(self, queue: str, seconds: float) -> None:
        """Whoever sends letters back asks the clerks to wait, and then to look whatever SQS counts. One that is under way goes on."""
        self._update(queue, {"until": self._clock() + seconds, "left": _UNKNOWN})

    def end(self, queue: str, *, left: int, missing: int) -> None:
        self._update(queue, {"until": 0, "ended_at": self._clock(), "left": left, "missing": missing})

    def _update(self, queue: str, told: dict[str, float], condition: str = "") -> bool:
        now = self._clock()
        values: dict[str, Any] = {f":new_{name}": {"N": f"{value:.3f}"} for name, value in told.items()}
        values[":ttl"] = {"N": str(int(now + _KEPT.total_seconds()))}
        request: dict[str, Any] = {}
        if condition:
            request["ConditionExpression"] = condition
            values[":now"] = {"N": f"{now:.3f}"}
        with translated("note a look at the dead letters"):
            client = self._client
            try:
                client.update_item(
                    TableName=self._table,
                    Key=_key(queue),
                    UpdateExpression="SET #ttl = :ttl, " + ", ".join(f"#{name} = :new_{name}" for name in told),
                    ExpressionAttributeNames={"#ttl": TTL} | {f"#{name}": name for name in told},
                    ExpressionAttributeValues=values,
                    **request,
                )
            except client.exceptions.ConditionalCheckFailedException:
                return False
        return True


def _key(queue: str) -> Any:
    return {KEY: {"S": _PREFIX + queue}}
