"""One DynamoDB table, in memory, with as much of the expression language as Celery and our ledger write."""

import re
from collections.abc import Iterator
from typing import Any

from benchmarks.fake_aws.refusal import Refusal

Item = dict[str, dict[str, Any]]
Names = dict[str, str]
Values = dict[str, dict[str, Any]]

_PRESENCE = re.compile(r"attribute_(not_exists|exists)\s*\(\s*([#\w.]+)\s*\)", re.IGNORECASE)
_COMPARISON = re.compile(r"([#\w.]+)\s*(=|<>|<=|>=|<|>)\s*(:\w+)")
_CLAUSES = re.compile(r"\b(SET|ADD|REMOVE)\b", re.IGNORECASE)


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
        item = dict(before or request["Key"])
        names, values = request.get("ExpressionAttributeNames", {}), request.get("ExpressionAttributeValues", {})
        for clause, part in _parts(request.get("UpdateExpression", "")):
            if clause == "REMOVE":
                item.pop(names.get(part, part), None)
                continue
            name, value = _assignment(clause, part, values)
            name = names.get(name, name)
            item[name] = value if clause == "SET" else _sum(item.get(name), value)
        self._items[key] = item
        return item

    def _key(self, item: Item) -> tuple[Any, ...]:
        return tuple(next(iter(item[name].values())) for name in self.key_attributes)

    @staticmethod
    def _check(request: dict[str, Any], item: Item | None) -> None:
        condition = request.get("ConditionExpression")
        if condition and not _holds(
            condition, item or {}, request.get("ExpressionAttributeNames", {}), request.get("ExpressionAttributeValues", {})
        ):
            raise Refusal("com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException", "The conditional request failed")


def _holds(condition: str, item: Item, names: Names, values: Values) -> bool:
    """AND binds closer than OR; there are no brackets and no NOT."""
    return any(
        all(_term_holds(term.strip(), item, names, values) for term in re.split(r"\bAND\b", alternative, flags=re.IGNORECASE))
        for alternative in re.split(r"\bOR\b", condition, flags=re.IGNORECASE)
    )


def _term_holds(term: str, item: Item, names: Names, values: Values) -> bool:
    if presence := _PRESENCE.fullmatch(term):
        name = presence[2]
        return (names.get(name, name) in item) == (presence[1].lower() == "exists")
    comparison = _COMPARISON.fullmatch(term)
    if not comparison:
        raise Refusal("com.amazon.coral.validate#ValidationException", f"This fake cannot read the condition {term!r}")
    name, sign, placeholder = comparison.groups()
    found = item.get(names.get(name, name))
    if found is None:
        return False
    left, right = _plain(found), _plain(values[placeholder])
    return bool(
        {
            "=": lambda: left == right,
            "<>": lambda: left != right,
            "<": lambda: left < right,
            ">": lambda: left > right,
            "<=": lambda: left <= right,
            ">=": lambda: left >= right,
        }[sign]()
    )


def _plain(value: dict[str, Any]) -> Any:
    kind, content = next(iter(value.items()))
    return float(content) if kind == "N" else content


def _parts(expression: str) -> Iterator[tuple[str, str]]:
    pieces = _CLAUSES.split(expression)
    for clause, body in zip(pieces[1::2], pieces[2::2], strict=True):
        for part in body.split(","):
            yield clause.upper(), part.strip()


def _assignment(clause: str, part: str, values: Values) -> tuple[str, dict[str, Any]]:
    pieces = [piece.strip() for piece in part.split("=" if clause == "SET" else None)]
    if len(pieces) == 2 and pieces[1] in values:  # noqa: PLR2004 — a name and its value
        return pieces[0], values[pieces[1]]
    raise Refusal("com.amazon.coral.validate#ValidationException", f"This fake cannot read the update {clause} {part!r}")


def _sum(present: dict[str, Any] | None, added: dict[str, Any]) -> dict[str, Any]:
    return {"N": str(int((present or {"N": "0"})["N"]) + int(added["N"]))}
