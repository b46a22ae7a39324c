"""Finding tasks: the indexes of the ledger, newest first."""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from heapq import merge
from typing import Any

from app.engine.aws import clients
from app.engine.aws.errors import translated
from app.engine.conf import EngineSettings
from app.engine.ledger.records import INDEX, SHARDS_PER_DAY, TaskRecord, day_shards, read_record, sharded
from app.topology import IndexPolicy
from app.topology.naming import table_name
from app.topology.tables import LEDGER

#: A quiet shop's latest tasks may be this old; each day without any costs four cheap queries.
DAYS_BACK = 3
#: Of each shard, for the throughput of a moment.
ENDED_PER_SHARD = 250
ITEMS_PER_PAGE = 100


def latest_tasks(settings: EngineSettings, limit: int) -> tuple[TaskRecord, ...]:
    """The tasks that reported last, newest first, at most three days back.

    Eventually consistent, like every DynamoDB index: a second behind at most in practice. Raises
    :class:`~app.engine.aws.errors.AwsUnavailable` or ``AwsRefused``.
    """
    found: list[TaskRecord] = []
    today = datetime.now(UTC)
    with translated("read the latest tasks"), ThreadPoolExecutor(max_workers=SHARDS_PER_DAY, thread_name_prefix="ledger-search") as pool:
        for days in range(DAYS_BACK):
            shards = day_shards(today - timedelta(days=days))
            for items in pool.map(lambda shard: _query(settings, shard, limit), shards):
                found += [read_record(item) for item in items]
            if len(found) >= limit:
                break
    return tuple(sorted(found, key=lambda record: record.recorded_at, reverse=True)[:limit])


@dataclass(frozen=True, kw_only=True, slots=True)
class Ended:
    """The tasks that reported lately, of all queues."""

    records: tuple[TaskRecord, ...]
    since: datetime
    """All from then on are there."""


def latest_ended(settings: EngineSettings, since: datetime) -> Ended:
    """What reported since then; of very many the latest thousand, with the moment since when they are all. Raises what :func:`latest_tasks` does."""
    days = sorted({moment.date() for moment in (since, datetime.now(UTC))})
    shards = [shard for day in days for shard in day_shards(datetime(day.year, day.month, day.day, tzinfo=UTC))]
    records: list[TaskRecord] = []
    complete_since = since
    with translated("read the latest tasks"), ThreadPoolExecutor(max_workers=SHARDS_PER_DAY, thread_name_prefix="ledger-search") as pool:
        for items in pool.map(partial(_since, settings, since), shards):
            found = [read_record(item) for item in items]
            if len(found) == ENDED_PER_SHARD:
                complete_since = max(complete_since, found[-1].recorded_at)
            records += found
    return Ended(records=tuple(record for record in records if record.recorded_at >= complete_since), since=complete_since)


def newest(
    settings: EngineSettings, index: IndexPolicy, value: str | None, *, since: datetime, until: datetime
) -> Iterator[Mapping[str, Any]]:
    """The items of an index whose key is ``value``, or of the index of days, newest first, as far as they are asked for.

    Both moments included; of one moment, in the order of their keys backwards. Raises what :func:`latest_tasks` raises, when it is asked.
    """
    shards = (_pages_of_shard(settings, index, value, shard, since, until) for shard in range(SHARDS_PER_DAY))
    with translated("search the ledger"):
        yield from merge(*shards, key=place_of, reverse=True)


def place_of(item: Mapping[str, Any]) -> tuple[float, str]:
    """Its place in the order of an index."""
    return float(item[INDEX.sort_key.name]["N"]), str(item[LEDGER.partition_key.name]["S"])


def _pages_of_shard(
    settings: EngineSettings, index: IndexPolicy, value: str | None, shard: int, since: datetime, until: datetime
) -> Iterator[Mapping[str, Any]]:
    if value is not None:
        yield from _in_order(_pages(settings, index, sharded(value, shard), since, until))
        return
    day = until
    while day.date() >= since.date():
        yield from _in_order(_pages(settings, index, day_shards(day)[shard], since, until))
        day -= timedelta(days=1)


def _in_order(items: Iterator[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """DynamoDB leaves the order within one moment open."""
    moment: list[Mapping[str, Any]] = []
    for item in items:
        if moment and place_of(moment[0])[0] != place_of(item)[0]:
            yield from sorted(moment, key=place_of, reverse=True)
            moment = []
        moment.append(item)
    yield from sorted(moment, key=place_of, reverse=True)


def _pages(settings: EngineSettings, index: IndexPolicy, shard: str, since: datetime, until: datetime) -> Iterator[Mapping[str, Any]]:
    asked = _asked(settings, index, shard) | {
        "KeyConditionExpression": "#shard = :shard AND #at BETWEEN :since AND :until",
        "Limit": ITEMS_PER_PAGE,
    }
    asked["ExpressionAttributeNames"] |= {"#at": index.sort_key.name}
    asked["ExpressionAttributeValues"] |= {
        ":since": {"N": f"{since.timestamp():.3f}"},
        ":until": {"N": f"{until.timestamp():.3f}"},
    }
    for page in clients.dynamodb(settings).get_paginator("query").paginate(**asked):
        yield from page["Items"]


def _since(settings: EngineSettings, since: datetime, shard: str) -> list[Mapping[str, Any]]:
    asked = _asked(settings, INDEX, shard) | {
        "KeyConditionExpression": "#shard = :shard AND #at >= :since",
        "Limit": ENDED_PER_SHARD,
    }
    asked["ExpressionAttributeNames"] |= {"#at": INDEX.sort_key.name}
    asked["ExpressionAttributeValues"] |= {":since": {"N": f"{since.timestamp():.3f}"}}
    return list(clients.dynamodb(settings).query(**asked)["Items"])


def _query(settings: EngineSettings, shard: str, limit: int) -> list[Mapping[str, Any]]:
    return list(clients.dynamodb(settings).query(**_asked(settings, INDEX, shard), Limit=limit)["Items"])


def _asked(settings: EngineSettings, index: IndexPolicy, shard: str) -> dict[str, Any]:
    return {
        "TableName": table_name(settings.name_prefix, LEDGER.name),
        "IndexName": index.name,
        "KeyConditionExpression": "#shard = :shard",
        "ExpressionAttributeNames": {"#shard": index.partition_key.name},
        "ExpressionAttributeValues": {":shard": {"S": shard}},
        "ScanIndexForward": False,
    }
