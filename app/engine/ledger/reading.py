"""Items of the ledger, by their keys."""

import time
from collections.abc import Iterable, Mapping
from typing import Any

from app.engine.aws import clients
from app.engine.aws.errors import AwsUnavailable, translated
from app.engine.conf import EngineSettings
from app.engine.ledger.claims import KEY
from app.topology.naming import table_name
from app.topology.tables import LEDGER

#: https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchGetItem.html
KEYS_PER_READ = 100
#: DynamoDB leaves keys out when it is throttled. Who waits is a person or a request.
_TRIES = 4
_PAUSE_SECONDS = 0.1


def read_items(settings: EngineSettings, keys: Iterable[str]) -> dict[str, Mapping[str, Any]]:
    """The items that are there, strongly consistent, expired ones too.

    Raises :class:`~app.engine.aws.errors.AwsUnavailable` or ``AwsRefused``; half an answer is none.
    """
    wanted = list(dict.fromkeys(keys))
    found: dict[str, Mapping[str, Any]] = {}
    with translated("read the ledger"):
        for start in range(0, len(wanted), KEYS_PER_READ):
            found |= _read(settings, wanted[start : start + KEYS_PER_READ])
    return found


def _read(settings: EngineSettings, keys: list[str]) -> dict[str, Mapping[str, Any]]:
    table = table_name(settings.name_prefix, LEDGER.name)
    found: dict[str, Mapping[str, Any]] = {}
    pending: Any = {table: {"Keys": [{KEY: {"S": key}} for key in keys], "ConsistentRead": True}}
    for attempt in range(_TRIES):
        answer = clients.lean_dynamodb(settings).batch_get_item(RequestItems=pending)
        found |= {item[KEY]["S"]: item for item in answer["Responses"].get(table, ())}
        pending = answer.get("UnprocessedKeys")
        if not pending:
            return found
        time.sleep(_PAUSE_SECONDS * 2**attempt)
    raise AwsUnavailable("Could not read the ledger: DynamoDB left keys out of its answer, again and again.")
