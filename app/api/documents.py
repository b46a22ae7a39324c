"""JSON as we accept it."""

import json
from collections.abc import Iterator
from typing import Any

from django.http import HttpRequest
from django.utils.datastructures import MultiValueDict
from ninja.parser import Parser

from app.api.errors import FieldError, Problem

_MEDIA_TYPE = "application/json"


class StrictParser(Parser):
    """Accepts UTF-8 JSON with unique names, finite numbers and no NUL character, sent as ``application/json``."""

    def parse_body(self, request: HttpRequest) -> dict[str, Any]:
        if request.content_type != _MEDIA_TYPE:
            sent = request.content_type or "nothing"
            raise Problem(415, detail=f"The body must be sent with Content-Type {_MEDIA_TYPE}, this one came with {sent[:100]}.")
        document: dict[str, Any] = read_json(request.body)
        _refuse_nul("body", document)
        return document

    def parse_querydict(self, data: MultiValueDict[str, str], list_fields: list[str], request: HttpRequest) -> dict[str, Any]:
        found = super().parse_querydict(data, list_fields, request)
        _refuse_nul("query", found)
        return found


def read_json(text: bytes) -> Any:
    """Parse a body. Raises :class:`Problem` 400 that says what is wrong with it."""
    try:
        return json.loads(text.decode(), object_pairs_hook=_unique_names, parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        raise Problem(400, detail=f"The body is not UTF-8: byte {error.start} cannot be read.") from error
    except RecursionError as error:
        raise Problem(400, detail="The body is nested too deeply.") from error
    except json.JSONDecodeError as error:
        raise Problem(400, detail=f"The body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}.") from error
    except ValueError as error:
        raise Problem(400, detail=f"The body is not JSON that we accept: {error}.") from error


def canonical_json(document: Any) -> bytes:
    """The same bytes for the same document, whatever its spaces and the order of its names."""
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def _unique_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise ValueError("a name stands twice in one object")
    return document


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a number in JSON")


def _refuse_nul(where: str, document: Any) -> None:
    """PostgreSQL cannot store the NUL character, so it would fail much later and less clearly."""
    errors = [FieldError(where=where, field=path, reason="must not hold the NUL character") for path in _paths_with_nul(document)]
    if errors:
        raise Problem(422, detail="Some fields cannot be accepted.", errors=errors)


def _paths_with_nul(document: Any) -> Iterator[str]:
    left: list[tuple[str, Any]] = [("", document)]
    while left:
        path, value = left.pop()
        if isinstance(value, str) and "\0" in value:
            yield path
        elif isinstance(value, dict):
            left += [(_below(path, name), child) for name, child in value.items()]
            if any("\0" in name for name in value):
                yield path
        elif isinstance(value, list):
            left += [(_below(path, str(index)), child) for index, child in enumerate(value)]


def _below(path: str, name: str) -> str:
    name = name.replace("\0", "�")
    return f"{path}.{name}" if path else name
