"""Every error of the API is a problem document, RFC 9457."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from http import HTTPStatus
from typing import Any

from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.core.signals import got_request_exception
from django.db import DatabaseError, InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse, UnreadablePostError
from django.utils.log import log_response
from ninja import NinjaAPI
from ninja.errors import HttpError, ValidationError

from app.api.documents import StrictParser
from app.api.errors import FieldError, Problem, phrase_of
from app.engine.database import trouble_of
from app.engine.errors import TransientError

MEDIA_TYPE = "application/problem+json"

_DETAILS = {
    400: "The request cannot be read.",
    401: "Send a valid token: 'Authorization: Bearer mr_…'.",
    403: "This token's owner may not do that.",
    404: "There is nothing at this address that this token's owner can see.",
    405: "This address does not know that method.",
    413: "The body is too large.",
    422: "Some fields cannot be accepted.",
    500: "This is our mistake, and it has been recorded.",
    503: "A service that we need does not answer. Try again, with the same Idempotency-Key if you sent one.",
}
_RETRY_AFTER_SECONDS = "5"
_OBJECT = "expected a JSON object"
_WHOLE_NUMBER = "expected a whole number, without quotes, point or exponent"
_UUID = "expected a UUID such as 7f7c4a3e-0a4e-4d7b-9d0e-2f6f3c1f9a11"
#: Kind of pydantic's error → what we say; what is not here is said as pydantic says it.
_REASONS = {
    "missing": "is required",
    "extra_forbidden": "is not a field that we know",
    "model_type": _OBJECT,
    "model_attributes_type": _OBJECT,
    "int_type": _WHOLE_NUMBER,
    "int_from_float": _WHOLE_NUMBER,
    "int_parsing": "expected a whole number",
    "int_parsing_size": "is too large a number",
    "greater_than_equal": "expected {ge} or more",
    "less_than_equal": "expected {le} or less",
    "string_type": "expected text",
    "string_unicode": "expected text that is valid Unicode",
    "string_too_short": "expected {min_length} character(s) or more",
    "string_too_long": "expected {max_length} characters or fewer",
    "string_pattern_mismatch": "has characters that are not allowed",
    "uuid_parsing": _UUID,
    "uuid_type": _UUID,
}


def install_problem_handlers(api: NinjaAPI) -> None:
    """Make the API's own errors problem documents, and its parser strict.

    Addresses and methods that it does not know are answered outside of it: see :mod:`app.api.middleware`.
    """
    api.parser = StrictParser()
    handlers: dict[type[Exception], Callable[[Any], Problem]] = {
        Problem: lambda problem: problem,
        HttpError: _from_http_error,
        ValidationError: _from_validation_error,
        Http404: _always(404),
        PermissionDenied: _always(403),
        RequestDataTooBig: _always(413),
        SuspiciousOperation: _always(400),
        UnreadablePostError: _always(400),
        OperationalError: _always(503),
        DatabaseError: _from_database_error,
        InterfaceError: _from_database_error,
        TransientError: _always(503),
        Exception: _always(500),
    }
    for error_class, translate in handlers.items():
        api.add_exception_handler(error_class, _answering(translate))


def standard_problem(status: int, headers: Mapping[str, str] | None = None) -> Problem:
    """What there is to say when only the status is known."""
    standard = {401: {"WWW-Authenticate": "Bearer"}, 503: {"Retry-After": _RETRY_AFTER_SECONDS}}.get(status, {})
    phrase = phrase_of(status)
    return Problem(status, detail=_DETAILS.get(status, f"{phrase}."), headers=standard | dict(headers or {}))


def answer_problem(problem: Problem) -> HttpResponse:
    return JsonResponse(problem.document, status=problem.status, content_type=MEDIA_TYPE, headers=problem.headers)


def problem_responses(*statuses: int) -> dict[str, Any]:
    """The error answers of an operation, for its ``openapi_extra``."""
    return {"responses": {status: _documented(status) for status in statuses}}


def _answering(translate: Callable[[Any], Problem]) -> Callable[[HttpRequest, Any], HttpResponse]:
    def answer(request: HttpRequest, error: Exception) -> HttpResponse:
        problem = translate(error)
        response = answer_problem(problem)
        if problem.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            # Django records what escapes a view; we answer instead, so we have to tell it.
            got_request_exception.send(sender=None, request=request)
            log_response("%s: %s", problem.title, request.path, response=response, request=request, exception=error)
        return response

    return answer


def _always(status: int) -> Callable[[Any], Problem]:
    return lambda _: standard_problem(status)


def _from_database_error(error: Exception) -> Problem:
    """A server that became a standby refuses writes by an error that is none of the operational ones."""
    return standard_problem(500 if trouble_of(error) is None else 503)


def _from_http_error(error: HttpError) -> Problem:
    # ninja wraps whatever its parser raises
    if isinstance(error.__cause__, Problem):
        return error.__cause__
    return standard_problem(error.status_code)


def _from_validation_error(error: ValidationError) -> Problem:
    return Problem(422, detail=_DETAILS[422], errors=[_explain(found) for found in error.errors])


def _explain(found: Mapping[str, Any]) -> FieldError:
    where, *path = found["loc"]
    if where == "body":
        path = path[1:]  # the name of the view's argument, which is nothing to the caller
    return FieldError(where=where, field=".".join(str(part) for part in path), reason=_reason(found, at_the_top=not path))


def _reason(found: Mapping[str, Any], *, at_the_top: bool) -> str:
    if found["type"] == "missing" and at_the_top:
        return "expected a JSON object, got no body"
    known = _REASONS.get(found["type"])
    return str(found["msg"]).removeprefix("Value error, ") if known is None else known.format(**found.get("ctx", {}))


def _documented(status: int) -> dict[str, Any]:
    example = standard_problem(status).document
    properties: dict[str, Any] = {
        "type": {"type": "string", "format": "uri-reference"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
    }
    if status == HTTPStatus.UNPROCESSABLE_ENTITY:
        refused = {name: {"type": "string"} for name in ("where", "field", "reason")}
        properties["errors"] = {"type": "array", "items": {"type": "object", "properties": refused, "required": list(refused)}}
        example["errors"] = [asdict(FieldError(where="body", field="amount", reason="expected 1 or more"))]
    schema = {"title": "Problem", "type": "object", "properties": properties, "required": ["type", "title", "status", "detail"]}
    return {"description": phrase_of(status), "content": {MEDIA_TYPE: {"schema": schema, "example": example}}}
