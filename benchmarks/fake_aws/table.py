"""One DynamoDB table, in memory, with conditions and updates."""

from typing import Any

from benchmarks.fake_aws.expressions import Item, holds, updated
from benchmarks.fake_aws.refusal import Refusal


class Table:
    """Items by their key. An expression that it cannot read is refused, never taken for true."""

    def __init__(self, name: str, key_attributes: list[str]) -> None:
        self.name = name
        self.key_attributes = key_attributes
        self._items: dict[tuple[Any, ...], Item] = {}

    def __len__(self) -> int:
        return len(self._items)

    def clear(self) -> None:
        self._items.clear()

    def get(self, key: Item) -> Item | None:
        return self._items.get(self._key(key))

    def put(self, request: dict[str, Any]) -> Item | None:
        """Replace the item and return the one before."""
        key = self._key(request["Item"])
        before = self._items.get(key)
        self._check(request, before)
        self._items[key] = request["Item"]
        return before

    def delete(self, request: dict[str, Any]) -> None:
        key = self._key(request["Key"])
        self._check(request, self._items.get(key))
        self._items.pop(key, None)

    def update(self, request: dict[str, Any]) -> Item:
        key = self._key(request["Key"])
        before = self._items.get(key)
        self._check(request, before)
        names, values = request.get("ExpressionAttributeNames", {}), request.get("ExpressionAttributeValues", {})
        item = updated(request.get("UpdateExpression", ""), before or request["Key"], names, values)
        self._items[key] = item
        return item

    def _key(self, item: Item) -> tuple[Any, ...]:
        return tuple(next(iter(item[name].values())) for name in self.key_attributes)

    @staticmethod
    def _check(request: dict[str, Any], item: Item | None) -> None:
        condition = request.get("ConditionExpression")
        names, values = request.get("ExpressionAttributeNames", {}), request.get("ExpressionAttributeValues", {})
        if condition and not holds(condition, item or {}, names, values):
            shown = item if request.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD" else None
            raise Refusal("com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException", "The conditional request failed", shown)
