"""JSON as we accept it."""

import json
from collections.abc import Iterator
from itertools import islice
from typing import Any

from django.http import HttpRequest
from django.utils.datastructures import MultiValueDict
from ninja.parser import Parser

from app.api.errors import LONGEST_PATH, MOST_ERRORS, FieldError, Problem

_MEDIA_TYPE = "application/json"
_Place = tuple[Any, str]
"""The place above, or ``None``, and the name here."""
#: No body of ours has a tenth of these; whoever sends more wants to see what it costs us.
MOST_NAMES = 1000
MOST_DIGITS = 400


class StrictParser(Parser):
    """Accepts UTF-8 JSON with unique names, finite numbers and no NUL character, sent as ``application/json``."""

    def parse_body(self, request: HttpRequest) -> dict[str, Any]:
        if "chunked" in request.headers.get("Transfer-Encoding", "").lower():
            raise Problem(411, detail="The body must come with its Content-Length; chunked bodies are not read.")
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
        return json.loads(text.decode(), object_pairs_hook=_unique_names, parse_constant=_refuse_constant, parse_int=_read_integer)
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
    if len(pairs) > MOST_NAMES:
        raise ValueError(f"an object has more than {MOST_NAMES:,} names")
    document = dict(pairs)
    if len(document) != len(pairs):
        raise ValueError("a name stands twice in one object")
    return document


def _read_integer(digits: str) -> int:
    if len(digits) > MOST_DIGITS:
        raise ValueError(f"a number has more than {MOST_DIGITS} digits")
    return int(digits)


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a number in JSON")


def _refuse_nul(where: str, document: Any) -> None:
    """PostgreSQL cannot store the NUL character, so it would fail much later and less clearly."""
    found = islice(_paths_with_nul(document), MOST_ERRORS)
    errors = [FieldError(where=where, field=path, reason="must not hold the NUL character") for path in found]
    if errors:
        raise Problem(422, detail="Some fields cannot be accepted.", errors=errors)


def _paths_with_nul(document: Any) -> Iterator[str]:
    """Where NUL characters stand. Paths are put together for these only: names may be long, and values many."""
    left: list[tuple[_Place | None, Any]] = [(None, document)]
    while left:
        place, value = left.pop()
        if isinstance(value, str) and "\0" in value:
            yield _path(place)
        elif isinstance(value, dict):
            left += [((place, name), child) for name, child in value.items()]
            if any("\0" in name for name in value):
                yield _path(place)
        elif isinstance(value, list):
            left += [((place, str(index)), child) for index, child in enumerate(value)]


def _path(place: "_Place | None") -> str:
    names: list[str] = []
    while place is not None:
        place, name = place
        names.append(name[:LONGEST_PATH].replace("\0", "�"))
    return ".".join(reversed(names))[:LONGEST_PATH]
