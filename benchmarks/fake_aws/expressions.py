"""DynamoDB's conditions and updates, as far as Celery and our ledger write them. What cannot be read is refused, never taken for true.

Grammar: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.OperatorsAndFunctions.html
"""

import re
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks.fake_aws.refusal import Refusal

Item = dict[str, dict[str, Any]]
Names = dict[str, str]
Values = dict[str, dict[str, Any]]

_TOKENS = re.compile(r"\s*(<>|<=|>=|[=<>(),+]|[#:\w.]+)")
_CLAUSES = re.compile(r"\b(SET|ADD|REMOVE)\b", re.IGNORECASE)
_SIGNS: dict[str, Callable[[Any, Any], bool]] = {
    "=": lambda left, right: bool(left == right),
    "<>": lambda left, right: bool(left != right),
    "<": lambda left, right: bool(left < right),
    ">": lambda left, right: bool(left > right),
    "<=": lambda left, right: bool(left <= right),
    ">=": lambda left, right: bool(left >= right),
}


class _Reader:
    """Tokens of one expression, read from left to right."""

    def __init__(self, text: str, item: Item, names: Names, values: Values) -> None:
        self._text = text
        self._tokens = _TOKENS.findall(text)
        self._at = 0
        self._item = item
        self._names = names
        self._values = values

    def condition(self) -> bool:
        holds = self._any()
        if self._at < len(self._tokens):
            raise self._unreadable()
        return holds

    def _any(self) -> bool:
        holds = self._all()
        while self._has("OR"):
            # Both sides are read, whatever the first one says.
            holds = self._all() or holds
        return holds

    def _all(self) -> bool:
        holds = self._term()
        while self._has("AND"):
            holds = self._term() and holds
        return holds

    def _term(self) -> bool:
        if self._has("NOT"):
            return not self._term()
        if self._has("("):
            holds = self._any()
            self._expect(")")
            return holds
        for function in ("attribute_not_exists", "attribute_exists"):
            if self._has(function):
                self._expect("(")
                is_there = self._attribute(self._next()) is not None
                self._expect(")")
                return is_there == (function == "attribute_exists")
        found = self._attribute(self._next())
        if self._has("IN"):
            self._expect("(")
            options = [self._value(self._next())]
            while self._has(","):
                options.append(self._value(self._next()))
            self._expect(")")
            return found in options
        sign = self._next()
        if sign not in _SIGNS:
            raise self._unreadable()
        wanted = self._value(self._next())
        if found is None:
            return sign == "<>"
        return _SIGNS[sign](_plain(found), _plain(wanted))

    def value(self) -> dict[str, Any]:
        """Of a SET: a value, or a sum of a default and a number."""
        total = self._operand()
        while self._has("+"):
            total = plus(total, self._operand())
        if self._at < len(self._tokens):
            raise self._unreadable()
        return total

    def _operand(self) -> dict[str, Any]:
        if self._has("if_not_exists"):
            self._expect("(")
            present = self._attribute(self._next())
            self._expect(",")
            default = self._value(self._next())
            self._expect(")")
            return default if present is None else present
        return self._value(self._next())

    def _attribute(self, token: str) -> dict[str, Any] | None:
        return self._item.get(self._names.get(token, token))

    def _value(self, token: str) -> dict[str, Any]:
        if token not in self._values:
            raise self._unreadable()
        return self._values[token]

    def _has(self, word: str) -> bool:
        if self._at < len(self._tokens) and self._tokens[self._at].upper() == word.upper():
            self._at += 1
            return True
        return False

    def _expect(self, word: str) -> None:
        if not self._has(word):
            raise self._unreadable()

    def _next(self) -> str:
        if self._at >= len(self._tokens):
            raise self._unreadable()
        self._at += 1
        token: str = self._tokens[self._at - 1]
        return token

    def _unreadable(self) -> Refusal:
        return Refusal("com.amazon.coral.validate#ValidationException", f"This fake cannot read {self._text!r}")


def holds(condition: str, item: Item, names: Names, values: Values) -> bool:
    """Whether the item meets the condition."""
    return _Reader(condition, item, names, values).condition()


def updated(expression: str, item: Item, names: Names, values: Values) -> Item:
    """The item after the update. As in DynamoDB, every part sees the item as it was before."""
    after = dict(item)
    for clause, part in _parts(expression):
        if clause == "REMOVE":
            after.pop(names.get(part, part), None)
            continue
        name, _, value = (piece.strip() for piece in part.partition("=" if clause == "SET" else " "))
        attribute = names.get(name, name)
        if clause == "SET":
            after[attribute] = _Reader(value, item, names, values).value()
        else:
            after[attribute] = _added(item.get(attribute), values[value])
    return after


def _added(present: dict[str, Any] | None, more: dict[str, Any]) -> dict[str, Any]:
    if "SS" in more:
        return {"SS": sorted({*(present or {"SS": []})["SS"], *more["SS"]})}
    return plus(present or {"N": "0"}, more)


def plus(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    return {"N": f"{float(one['N']) + float(other['N']):g}"}


def _plain(value: dict[str, Any]) -> Any:
    kind, content = next(iter(value.items()))
    return float(content) if kind == "N" else content


def _parts(expression: str) -> Iterator[tuple[str, str]]:
    pieces = _CLAUSES.split(expression)
    for clause, body in zip(pieces[1::2], pieces[2::2], strict=True):
        # A comma inside brackets belongs to a function.
        for part in re.split(r",(?![^(]*\))", body):
            yield clause.upper(), part.strip()
