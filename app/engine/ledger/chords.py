"""The parts of a chord, counted by what they are and not by how often they came.

    (none) ──a part has ended──▶ {part} ──the next──▶ {part, part} … ──the last──▶ complete, closed by the last
                                  └──the same part again──▶ {part}

The part that completes the chord sends the callback. If it dies in between, its message comes again, it counts itself again, and
still is the one that closes the chord. The callback's id was fixed when the chord was published, so two messages of it are one run.

Limit: the item holds the id of every part, so a chord has at most some 9,000 of them, and counting n costs some n²/50 write units.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from botocore.exceptions import ClientError

from app.engine.ledger.claims import KEY, TTL, is_condition

_PARTS = "parts"
_CLOSED_BY = "closed_by"


class Table(Protocol):
    """DynamoDB's client, or the wire's."""

    def update_item(self, **parameters: Any) -> Mapping[str, Any]: ...


class Chords:
    """Each call is one write. They raise what the client raises."""

    def __init__(self, client: Callable[[], Table], table: str, expires_at: Callable[[], int]) -> None:
        self._client = client
        self._table = table
        self._expires_at = expires_at

    def count(self, key: str, part: str) -> int:
        """Note that the part has ended, and return how many have."""
        answer = self._client().update_item(
            TableName=self._table,
            Key={KEY: {"S": key}},
            UpdateExpression=f"ADD {_PARTS} :part SET #ttl = :ends",
            ExpressionAttributeNames={"#ttl": TTL},
            ExpressionAttributeValues={":part": {"SS": [part]}, ":ends": {"N": str(self._expires_at())}},
            ReturnValues="ALL_NEW",
        )
        return len(answer["Attributes"][_PARTS]["SS"])

    def close(self, key: str, part: str) -> bool:
        """Whether this part is the one that sends the callback."""
        try:
            self._client().update_item(
                TableName=self._table,
                Key={KEY: {"S": key}},
                UpdateExpression=f"SET {_CLOSED_BY} = :part",
                ConditionExpression=f"attribute_not_exists({_CLOSED_BY}) OR {_CLOSED_BY} = :part",
                ExpressionAttributeValues={":part": {"S": part}},
            )
        except ClientError as error:
            if not is_condition(error):
                raise
            return False
        return True
