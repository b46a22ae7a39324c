"""Finding tasks."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

from app.engine.aws import clients
from app.engine.aws.errors import translated
from app.engine.conf import EngineSettings
from app.engine.ledger.records import INDEX, SHARDS_PER_DAY, TaskRecord, day_shards, read_record
from app.topology.naming import table_name
from app.topology.tables import LEDGER

#: A quiet shop's latest tasks may be this old; each day without any costs four cheap queries.
DAYS_BACK = 3


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


def _query(settings: EngineSettings, shard: str, limit: int) -> list[dict[str, Any]]:
    answer = clients.dynamodb(settings).query(
        TableName=table_name(settings.name_prefix, LEDGER.name),
        IndexName=INDEX.name,
        KeyConditionExpression="#shard = :shard",
        ExpressionAttributeNames={"#shard": INDEX.partition_key.name},
        ExpressionAttributeValues={":shard": {"S": shard}},
        ScanIndexForward=False,
        Limit=limit,
    )
    items: list[dict[str, Any]] = list(answer["Items"])
    return items
