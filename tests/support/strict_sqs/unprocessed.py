"""DynamoDB that does a part of what a batch asks for, as when a table is throttled."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

from tests.support.strict_sqs.call import Call
from tests.support.strict_sqs.http11 import Answer

_LEFT = {"BatchWriteItem": "UnprocessedItems", "BatchGetItem": "UnprocessedKeys"}


async def answer_partly(call: Call, exchange: Callable[[bytes], Awaitable[Answer]]) -> Answer | None:
    """Have the first half of a batch done, at least one; ``None`` for what is no batch."""
    if call.operation not in _LEFT:
        return None
    document = json.loads(call.body)
    document["RequestItems"], left = halves(document["RequestItems"])
    answered = await exchange(call.encode(document))
    if answered.status != 200:
        return answered
    return answered.with_body(json.dumps(json.loads(answered.body) | {_LEFT[call.operation]: left}).encode())


def halves(tables: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Of each table's puts, or keys, the first half, and the rest."""
    done: dict[str, Any] = {}
    left: dict[str, Any] = {}
    for table, asked in tables.items():
        entries = asked if isinstance(asked, list) else asked["Keys"]
        middle = (len(entries) + 1) // 2
        for half, part in ((done, entries[:middle]), (left, entries[middle:])):
            if part:
                half[table] = part if isinstance(asked, list) else asked | {"Keys": part}
    return done, left
