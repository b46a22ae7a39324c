import json

import psycopg
import pytest
from django.db import DatabaseError, InterfaceError, InternalError, OperationalError
from django.test import RequestFactory

from app.api.errors import FieldError, Problem
from app.api.idempotency import fingerprint_of
from app.api.problems import MEDIA_TYPE, answer_problem, problem_responses, standard_problem
from app.config.urls import api


def test_a_problem_is_a_document_of_rfc_9457() -> None:
    problem = Problem(422, detail="No.", errors=[FieldError(where="body", field="amount", reason="is required")])
    response = answer_problem(problem)
    assert response["Content-Type"] == MEDIA_TYPE
    assert json.loads(response.content) == {
        "type": "about:blank",
        "title": "Unprocessable Content",
        "status": 422,
        "detail": "No.",
        "errors": [{"where": "body", "field": "amount", "reason": "is required"}],
    }


def test_unauthorized_names_the_scheme_and_unavailable_the_pause() -> None:
    assert answer_problem(standard_problem(401))["WWW-Authenticate"] == "Bearer"
    assert answer_problem(standard_problem(503))["Retry-After"] == "5"


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 406, 409, 413, 415, 422, 429, 500, 503])
def test_every_error_status_has_something_to_say(status: int) -> None:
    assert standard_problem(status).detail.endswith(".")
    assert MEDIA_TYPE in problem_responses(status)["responses"][status]["content"]


@pytest.mark.parametrize(
    ("error", "cause", "status"),
    [
        (OperationalError("no connection"), None, 503),
        (InternalError("cannot execute INSERT"), psycopg.errors.ReadOnlySqlTransaction(), 503),
        (InterfaceError("misused"), None, 500),
        (DatabaseError("no such column"), psycopg.errors.UndefinedColumn(), 500),
    ],
    ids=["away", "a standby", "misuse", "a bug"],
)
def test_a_database_that_cannot_be_used_now_is_no_bug(error: DatabaseError, cause: Exception | None, status: int) -> None:
    error.__cause__ = cause

    assert api.on_exception(RequestFactory().post("/api/payments"), error).status_code == status


def test_requests_that_ask_for_the_same_have_one_fingerprint() -> None:
    def fingerprint(path: str, body: str) -> str:
        return fingerprint_of(RequestFactory().post(path, body, content_type="application/json"))

    assert fingerprint("/a", '{"x": 1, "y": 2}') == fingerprint("/a", '{"y":2,"x":1}')
    assert fingerprint("/a", '{"x": 1}') != fingerprint("/a", '{"x": 2}')
    assert fingerprint("/a", '{"x": 1}') != fingerprint("/b", '{"x": 1}')
