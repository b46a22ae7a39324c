"""One JSON object a line, with the run or request it belongs to, and no task's arguments."""

import io
import json
import logging
import logging.config
from collections.abc import Iterator
from typing import Any

import pytest
from celery.worker.consumer import consumer
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory

from app.engine.logs import context
from app.engine.logs.middleware import RequestContext
from app.engine.logs.settings import WithoutBodies, logging_settings
from tests.unit.engine.conftest import DefineTask

SECRET = "4242-4242-4242-4242"


class Lines:
    def __init__(self) -> None:
        self.stream = io.StringIO()

    @property
    def text(self) -> str:
        return self.stream.getvalue()

    def __call__(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.splitlines()]


@pytest.fixture
def lines() -> Iterator[Lines]:
    """Every line of this process, as our handler writes it."""
    configuration = logging_settings(level="DEBUG", service="worker-default", release="v42")
    written = Lines()
    handler = logging.StreamHandler(written.stream)
    options = {key: value for key, value in configuration["formatters"]["json"].items() if key != "()"}
    handler.setFormatter(configuration["formatters"]["json"]["()"](**options))
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield written
    root.removeHandler(handler)
    root.setLevel(level)
    context.replace({})


@pytest.mark.parametrize("template", ["UNKNOWN_FORMAT", "UNKNOWN_TASK_ERROR", "INVALID_TASK_ERROR", "MESSAGE_DECODE_ERROR"])
def test_what_celery_prints_of_a_message_that_it_cannot_use_ends_before_the_body(template: str) -> None:
    text: str = getattr(consumer, template)
    places = text.count("%s") + text.count("%r")
    first = 1 if template == "UNKNOWN_FORMAT" else 0
    arguments = ("not usable", *[SECRET] * (places - 1)) if not first else (SECRET,)
    if template == "MESSAGE_DECODE_ERROR":
        arguments = ("not usable", "type", "encoding", "headers", SECRET)
    record = logging.LogRecord("celery.worker.consumer.consumer", logging.ERROR, __file__, 1, text, arguments, None)

    assert WithoutBodies().filter(record)

    assert SECRET not in record.getMessage()
    assert record.getMessage().strip()


def test_the_query_of_a_failed_request_is_in_no_line(lines: Lines) -> None:
    logging.getLogger("django.request").warning(
        "Not Found: %s", "/nothing", extra={"request": RequestFactory().get(f"/nothing?q={SECRET}")}
    )

    assert SECRET not in lines.text


def test_a_line_is_one_json_object_whatever_the_message_holds(lines: Lines) -> None:
    logging.getLogger("app.shop").info('two\nlines and a "quote"', extra={"payment": 7})

    (line,) = lines()
    assert line["message"] == 'two\nlines and a "quote"'
    assert line["payment"] == 7
    assert (line["level"], line["logger"], line["service"], line["release"]) == ("INFO", "app.shop", "worker-default", "v42")
    assert line["at"]


def test_an_exception_stays_on_its_line(lines: Lines) -> None:
    try:
        _ = 1 / 0
    except ZeroDivisionError:
        logging.getLogger("app.shop").exception("no")

    (line,) = lines()
    assert "ZeroDivisionError" in line["exc_info"]


def test_lines_within_a_block_carry_its_fields_and_those_after_it_do_not(lines: Lines) -> None:
    logger = logging.getLogger("app.shop")

    with context.bound(request_id="abc"):
        with context.bound(payment=7):
            logger.info("inner")
        logger.info("outer")
    logger.info("after")

    assert [(line.get("request_id"), line.get("payment")) for line in lines()] == [("abc", 7), ("abc", None), (None, None)]


def test_what_a_line_says_itself_wins_over_its_context(lines: Lines) -> None:
    with context.bound(queue="default"):
        logging.getLogger("app.shop").info("moved", extra={"queue": "emails"})

    assert lines()[0]["queue"] == "emails"


def test_a_run_is_a_line_at_its_start_and_one_at_its_end_and_its_own_carry_its_id(define_task: DefineTask, lines: Lines) -> None:
    task = define_task("reports.write", lambda: logging.getLogger("app.shop").info("writing"))

    task.apply(task_id="7c1f", retries=2)

    started, writing, ended = (line for line in lines() if line["logger"].startswith("app."))
    assert (started["message"], writing["message"], ended["message"]) == ("task started", "writing", "task ended")
    assert {(line["task_id"], line["task"], line["attempt"]) for line in (started, writing, ended)} == {("7c1f", "reports.write", 3)}
    assert ended["outcome"] == "success"
    assert ended["duration_ms"] >= 0


def test_after_a_run_its_fields_are_gone(define_task: DefineTask, lines: Lines) -> None:
    define_task("reports.write").apply()

    assert dict(context.current()) == {}


def test_no_argument_of_a_task_is_written_anywhere(
    define_task: DefineTask, lines: Lines, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    def succeed(_card: str, *, number: str) -> str:
        return number

    def fail(_card: str, *, number: str) -> None:
        raise ValueError("card refused")

    define_task("reports.succeed", succeed).apply(args=(SECRET,), kwargs={"number": SECRET})
    define_task("reports.fail", fail).apply(args=(SECRET,), kwargs={"number": SECRET}, throw=False)

    printed = capsys.readouterr()
    assert len([line for line in lines() if line["message"] == "task ended"]) == 2
    assert SECRET not in lines.text
    assert SECRET not in printed.out + printed.err + caplog.text


def test_a_failure_is_its_class_its_reason_and_where_it_happened(define_task: DefineTask, lines: Lines) -> None:
    def body() -> None:
        raise ValueError("no such payment")

    define_task("reports.write", body).apply(throw=False)

    (failed,) = (line for line in lines() if line["message"] == "task failed")
    assert (failed["level"], failed["error"], failed["reason"]) == ("ERROR", "ValueError", "no such payment")
    assert "in body" in failed["traceback"]


# -- requests -----------------------------------------------------------------------------------------------------------


def answered(path: str = "/api/payments?card=" + SECRET, **headers: str) -> HttpResponse:
    def view(_: HttpRequest) -> HttpResponse:
        logging.getLogger("app.shop").info("in the view")
        return HttpResponse(status=201)

    return RequestContext(view)(RequestFactory().post(path, {"card": SECRET}, headers=headers))


def test_a_request_has_an_id_in_every_line_and_in_its_answer(lines: Lines) -> None:
    response = answered()

    assert {line["request_id"] for line in lines()} == {response["X-Request-Id"]}


def test_a_request_is_logged_without_its_query_and_body(lines: Lines) -> None:
    answered()

    (line,) = (line for line in lines() if line["message"] == "request")
    assert (line["method"], line["path"], line["status"]) == ("POST", "/api/payments", 201)
    assert SECRET not in lines.text


@pytest.mark.parametrize(
    ("headers", "accepted"),
    [
        ({"X-Request-Id": "from-the-caller.1"}, "from-the-caller.1"),
        ({"X-Amzn-Trace-Id": "Root=1-67891233-abcdef012345678912345678"}, "1-67891233-abcdef012345678912345678"),
    ],
)
def test_a_sane_id_of_the_caller_is_kept(headers: dict[str, str], accepted: str) -> None:
    assert answered(**headers)["X-Request-Id"] == accepted


@pytest.mark.parametrize("offered", ["short", "x" * 101, "two words here", '{"json": 1}', "ümlaut-umlaut"])
def test_an_id_that_could_forge_lines_is_replaced(offered: str) -> None:
    assert answered(**{"X-Request-Id": offered})["X-Request-Id"] != offered


def test_probes_are_not_logged(lines: Lines) -> None:
    answered("/health/live")

    assert [line for line in lines() if line["message"] == "request"] == []
