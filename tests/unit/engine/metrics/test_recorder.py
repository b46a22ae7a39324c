"""From a run to its figures."""

import json
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from app.engine.errors import PermanentError
from app.engine.metrics.recorder import queue_wait_ms
from app.topology import metrics
from tests.unit.engine.conftest import DefineTask

NOW = 1_800_000_000.0


def received(sent_at: float | None, eta: str | None = None) -> Any:
    attributes = {} if sent_at is None else {"SentTimestamp": str(int(sent_at * 1000))}
    return SimpleNamespace(properties={"delivery_info": {"sqs_message": {"Attributes": attributes}}}, eta=eta)


def at(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat()


def test_a_job_has_waited_since_it_was_sent() -> None:
    assert queue_wait_ms(received(NOW - 1.5), NOW) == 1500


def test_a_delayed_job_has_waited_since_it_was_due() -> None:
    assert queue_wait_ms(received(NOW - 3600, eta=at(NOW - 2)), NOW) == 2000


def test_a_job_that_was_due_before_it_was_sent_has_waited_since_it_was_sent() -> None:
    assert queue_wait_ms(received(NOW - 2, eta=at(NOW - 3600)), NOW) == 2000


def test_clocks_that_differ_make_no_negative_wait() -> None:
    assert queue_wait_ms(received(NOW + 0.2), NOW) == 0


@pytest.mark.parametrize(
    "request_",
    [
        received(None),
        SimpleNamespace(properties=None, eta=None),
        SimpleNamespace(eta=None),
        SimpleNamespace(properties={"delivery_info": None}, eta=None),
    ],
)
def test_a_run_that_did_not_come_from_sqs_waited_for_nothing(request_: Any) -> None:
    assert queue_wait_ms(request_, NOW) is None


def figures(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines() if "_aws" in line]


def test_a_run_that_ended_well_is_one_line(define_task: DefineTask, capsys: pytest.CaptureFixture[str]) -> None:
    define_task("reports.write").apply()

    (line,) = figures(capsys)
    assert line["Task"] == "reports.write"
    assert set(line) == {"_aws", *metrics.TASK_RUNS.dimensions, "TaskRuns", "TaskRunTime"}


def test_a_failed_run_is_counted_by_the_class_of_its_error(define_task: DefineTask, capsys: pytest.CaptureFixture[str]) -> None:
    def body() -> None:
        raise PermanentError("gone")

    define_task("reports.write", body).apply(throw=False)

    failure, run = figures(capsys)
    assert failure["Exception"] == "PermanentError"
    assert "TaskRuns" in run
