"""The records of all workers: one item a breaker in DynamoDB, changed by conditional writes only.

    none | closed ── may_count: failure ──▶ closed, counted │ open until then
    closed, counted ── is_closed: success ──▶ closed
    open, pause over ── may_probe ──▶ half-open, the probe is ours until its lease ends
    half-open ── is_ours: success ──▶ closed
       ├──────── is_ours: failure ──▶ open until then, longer
       ├──────── is_ours: nothing learned ──▶ half-open, no probe
       └──────── lease over, may_probe ──▶ half-open, the probe is another's: what the first says is refused
    any ── a person resets ──▶ closed

Each failure notes until when it would be open, so that the one that opens it needs no second write. Each attribute of what is written is
a name of :class:`~app.engine.circuit_breaker.record.Record`. Source: Nygard, Release It!, chapter 5; the lease is Gray and Cheriton's.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Protocol

from botocore.exceptions import ClientError

from app.engine.aws import clients
from app.engine.aws.errors import AwsUnavailable, translated
from app.engine.circuit_breaker.policy import BreakerPolicy
from app.engine.circuit_breaker.record import Record
from app.engine.conf import EngineSettings, engine_settings
from app.topology.naming import table_name
from app.topology.tables import BREAKERS

KEY = BREAKERS.partition_key.name
TTL = BREAKERS.ttl_attribute
REMEMBERED_FOR = timedelta(days=7)
CONDITION_FAILED = "ConditionalCheckFailedException"
LONGEST_REASON = 300

_MAY_COUNT = "attribute_not_exists(#failures) OR #failures < :limit"
_IS_CLOSED = "#failures < #limit"
_MAY_PROBE = "#failures >= #limit AND #open_until <= :now AND (attribute_not_exists(#probe_until) OR #probe_until <= :now)"
_IS_OURS = "#probe = :token"
_EXISTS = "attribute_exists(#failures)"
_CLOSE = f"SET #failures = :zero, #changed_at = :now, #{TTL} = :ends REMOVE #openings, #open_until, #probe, #probe_until"


class Table(Protocol):
    """DynamoDB's client, or the wire's."""

    def update_item(self, **parameters: Any) -> Mapping[str, Any]: ...
    def batch_get_item(self, **parameters: Any) -> Mapping[str, Any]: ...


class SharedRecords:
    """Raises :class:`~app.engine.aws.errors.AwsUnavailable` or ``AwsRefused``."""

    def __init__(self, client: Callable[[], Table], table: str) -> None:
        self._client = client
        self._table = table

    def read(self, name: str) -> Record:
        return self.read_all([name])[0]

    def read_all(self, names: Sequence[str]) -> list[Record]:
        """The records of up to a hundred breakers, in the order of the names, by one request."""
        wanted = {"Keys": [{KEY: {"S": name}} for name in dict.fromkeys(names)], "ConsistentRead": True}
        with translated(f"read the breakers {', '.join(names)}"):
            answer = self._client().batch_get_item(RequestItems={self._table: wanted})
        if answer.get("UnprocessedKeys"):
            raise AwsUnavailable(f"DynamoDB is too busy to read the breakers {', '.join(names)}.")
        found = {record.name: record for record in map(_record, answer["Responses"].get(self._table, ()))}
        return [found.get(name) or Record(name=name) for name in names]

    def count_failure(self, name: str, policy: BreakerPolicy, reason: str, now: float) -> Record | None:
        changed = self._change(
            name,
            "SET #failures = if_not_exists(#failures, :zero) + :one, #limit = :limit, #openings = :one, #open_until = :until, "
            f"#reason = :reason, #changed_at = :now, #{TTL} = :ends",
            _MAY_COUNT,
            {
                ":zero": 0,
                ":one": 1,
                ":limit": policy.failures,
                ":until": now + policy.pause_seconds(1),
                ":reason": reason[:LONGEST_REASON],
                ":now": now,
                ":ends": _ends(now),
            },
        )
        return changed if isinstance(changed, Record) else None

    def forget_failures(self, name: str, now: float) -> None:
        self._change(name, _CLOSE, _IS_CLOSED, {":zero": 0, ":now": now, ":ends": _ends(now)})

    def take_probe(self, name: str, policy: BreakerPolicy, token: str, now: float) -> Record:
        changed = self._change(
            name,
            "SET #probe = :token, #probe_until = :until",
            _MAY_PROBE,
            {":token": token, ":until": now + policy.probe_lease.total_seconds(), ":now": now},
        )
        return changed if isinstance(changed, Record) else _record(changed.item or {KEY: {"S": name}})

    def settle(self, name: str, token: str, now: float) -> bool:
        return isinstance(self._change(name, _CLOSE, _IS_OURS, {":zero": 0, ":now": now, ":ends": _ends(now), ":token": token}), Record)

    def open_again(self, held: Record, policy: BreakerPolicy, reason: str, now: float) -> Record | None:
        changed = self._change(
            held.name,
            "SET #openings = :openings, #open_until = :until, "
            f"#reason = :reason, #changed_at = :now, #{TTL} = :ends REMOVE #probe, #probe_until",
            _IS_OURS,
            {
                ":openings": held.openings + 1,
                ":until": now + policy.pause_seconds(held.openings + 1),
                ":reason": reason[:LONGEST_REASON],
                ":now": now,
                ":ends": _ends(now),
                ":token": held.probe,
            },
        )
        return changed if isinstance(changed, Record) else None

    def return_probe(self, name: str, token: str, now: float) -> None:
        self._change(name, "SET #changed_at = :now REMOVE #probe, #probe_until", _IS_OURS, {":now": now, ":token": token})

    def reset(self, name: str, now: float) -> bool:
        """Close it, whatever it is. False if there is no breaker of that name."""
        return isinstance(self._change(name, _CLOSE, _EXISTS, {":zero": 0, ":now": now, ":ends": _ends(now)}), Record)

    def _change(self, name: str, change: str, condition: str, values: Mapping[str, float | str]) -> "Record | _Refused":
        with translated(f"change the breaker {name}"):
            try:
                answer = self._client().update_item(
                    TableName=self._table,
                    Key={KEY: {"S": name}},
                    UpdateExpression=change,
                    ConditionExpression=condition,
                    ExpressionAttributeNames={f"#{used}": used for used in re.findall(r"#(\w+)", f"{change} {condition}")},
                    ExpressionAttributeValues={key: _written(value) for key, value in values.items()},
                    ReturnValues="ALL_NEW",
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                )
            except ClientError as error:
                if error.response["Error"]["Code"] != CONDITION_FAILED:
                    raise
                # Shown because it was asked for; botocore's own type of a response does not know it.
                response: Any = error.response
                return _Refused(response.get("Item"))
        return _record(answer["Attributes"])


class _Refused:
    """The condition did not hold for this item."""

    def __init__(self, item: Mapping[str, Any] | None) -> None:
        self.item = item


def all_breakers(settings: EngineSettings) -> list[Record]:
    """Every breaker that changed within a week, by name. A scan: there are as many items as partners.

    Raises :class:`~app.engine.aws.errors.AwsUnavailable` or ``AwsRefused``.
    """
    items: list[Mapping[str, Any]] = []
    with translated("list the breakers"):
        pages = clients.dynamodb(settings).get_paginator("scan").paginate(TableName=_table(settings), ConsistentRead=True)
        for page in pages:
            items += page["Items"]
    return sorted(map(_record, items), key=lambda record: record.name)


def shared_records() -> SharedRecords:
    """Those of this deployment."""
    settings = engine_settings()
    return SharedRecords(lambda: clients.lean_dynamodb(settings), _table(settings))


def _table(settings: EngineSettings) -> str:
    return table_name(settings.name_prefix, BREAKERS.name)


def _ends(now: float) -> int:
    return int(now + REMEMBERED_FOR.total_seconds())


def _written(value: float | str) -> dict[str, str]:
    if isinstance(value, str):
        return {"S": value}
    return {"N": str(value) if isinstance(value, int) else f"{value:.3f}"}


def _record(item: Mapping[str, Any]) -> Record:
    def number(name: str) -> float:
        return float(item.get(name, {}).get("N", 0))

    return Record(
        name=item[KEY]["S"],
        failures=int(number("failures")),
        limit=max(int(number("limit")), 1),
        openings=int(number("openings")),
        open_until=number("open_until"),
        probe=item.get("probe", {}).get("S", ""),
        probe_until=number("probe_until"),
        reason=item.get("reason", {}).get("S", ""),
        changed_at=number("changed_at"),
    )
