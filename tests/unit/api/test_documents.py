import tracemalloc

import pytest
from django.test import RequestFactory

from app.api import documents
from app.api.documents import StrictParser, canonical_json, read_json
from app.api.errors import LONGEST_PATH, MOST_ERRORS, FieldError, Problem


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"{'a': 1}", "not JSON"),
        (b"\xef\xbb\xbf{}", "not JSON"),
        (b"\xff\xfe{\x00}\x00", "not UTF-8"),
        (b'"\xc3\x28"', "not UTF-8"),
        (b'{"a": NaN}', "NaN"),
        (b'{"a": -Infinity}', "Infinity"),
        (b'{"a": 1, "a": 2}', "twice"),
        (b"1" * 5000, "not JSON that we accept"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a":' * 100_000, "nested too deeply"),
    ],
)
def test_a_body_that_cannot_be_read_is_a_bad_request_that_says_why(body: bytes, said: str) -> None:
    with pytest.raises(Problem) as caught:
        read_json(body)
    assert caught.value.status == 400
    assert said in caught.value.detail


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/jsonp"]
)
def test_a_body_of_another_type_is_refused(content_type: str) -> None:
    request = RequestFactory().post("/", b"{}", content_type=content_type)
    with pytest.raises(Problem) as caught:
        StrictParser().parse_body(request)
    assert caught.value.status == 415


def test_a_content_type_may_name_its_charset() -> None:
    request = RequestFactory().post("/", b'{"a": "\xc3\xa9"}', content_type="application/json; charset=utf-8")
    assert StrictParser().parse_body(request) == {"a": "é"}


def test_nul_characters_are_refused_by_name_wherever_they_hide() -> None:
    body = b'{"a": "x\\u0000", "b": {"c": ["ok", "\\u0000"]}, "d": {"\\u0000": 1}}'
    request = RequestFactory().post("/", body, content_type="application/json")
    with pytest.raises(Problem) as caught:
        StrictParser().parse_body(request)
    assert caught.value.status == 422
    assert {error.field for error in caught.value.errors} == {"a", "b.c.1", "d"}


def test_canonical_json_forgets_spaces_and_order_and_nothing_else() -> None:
    assert canonical_json(read_json(b'{"b": [1, 2],  "a": "x"}')) == canonical_json(read_json(b'{"a":"x","b":[1,2]}'))
    assert canonical_json({"a": [1, 2]}) != canonical_json({"a": [2, 1]})
    assert canonical_json({"a": 1}) != canonical_json({"a": "1"})


def test_a_long_name_above_many_values_costs_no_more_than_it_weighs() -> None:
    body = ('{"' + "k" * 50_000 + '":[' + ",".join("1" * 40_000) + "]}").encode()
    tracemalloc.start()
    try:
        list(documents._paths_with_nul(documents.read_json(body)))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 200 * len(body)


def test_a_list_of_errors_is_for_a_person() -> None:
    document = {"list": ["\0"] * 3000, "x" * 5000: "\0"}

    with pytest.raises(Problem) as raised:
        documents._refuse_nul("body", document)

    assert len(raised.value.errors) == MOST_ERRORS
    assert all(len(error.field) <= LONGEST_PATH for error in raised.value.errors)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"{" + b",".join(b'"%d":1' % number for number in range(1001)) + b"}", "more than 1,000 names"),
        (b'{"amount":' + b"9" * 401 + b"}", "more than 400 digits"),
    ],
)
def test_what_nobody_sends_in_earnest_is_refused_in_our_own_words(body: bytes, reason: str) -> None:
    with pytest.raises(Problem) as raised:
        documents.read_json(body)

    assert raised.value.status == 400
    assert reason in raised.value.detail


def test_a_problem_lists_so_many_errors_and_says_how_many_there_are() -> None:
    problem = Problem(422, detail="No.", errors=[FieldError(where="body", field="f" * 9999, reason="is wrong")] * 500)

    assert len(problem.document["errors"]) == MOST_ERRORS
    assert problem.detail == f"No. The first {MOST_ERRORS} of 500 are listed."
