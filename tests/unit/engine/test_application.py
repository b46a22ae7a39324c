"""Which messages the outbox takes."""

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import MagicMock

import pytest
from celery import chain, chord, current_app, group
from celery.exceptions import Reject, Retry
from django.db import OperationalError

from app.engine.application import Application
from app.engine.broker.put_off import PutOff
from app.engine.database import DATABASE
from app.engine.outbox.producer import OutboxProducer
from tests.unit.engine.conftest import DefineTask

IN_AN_HOUR = timedelta(hours=1)


class SentToSqs(Exception):
    """The message went the usual way."""


class _Sqs:
    """Stands where a message would leave at once."""

    connection = current_app.connection_for_write()

    def publish(self, *_: Any, **__: Any) -> None:
        raise SentToSqs


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The headers of what the outbox took. Whatever would be sent at once raises."""
    headers: list[dict[str, Any]] = []
    monkeypatch.setattr(OutboxProducer, "publish", lambda _self, _body, **options: headers.append(options["headers"]))
    monkeypatch.setattr(Application, "producer_or_acquire", lambda _self, producer=None: nullcontext(producer or _Sqs()))
    monkeypatch.setattr(current_app.backend, "apply_chord", lambda *_, **__: None)
    return headers


def _debug_task() -> Any:
    return current_app.tasks["engine.debug_task"]


@pytest.mark.parametrize(
    "options",
    [
        lambda: {"countdown": 901},
        lambda: {"eta": datetime.now(UTC) + IN_AN_HOUR},
        lambda: {"eta": datetime.now(UTC).replace(tzinfo=None) + IN_AN_HOUR},
        lambda: {"eta": (datetime.now(UTC) + IN_AN_HOUR).isoformat()},
        lambda: {"countdown": 3600, "expires": 7200},
    ],
    ids=["countdown", "aware eta", "naive eta", "text", "expires"],
)
def test_a_job_that_is_due_far_off_waits_in_the_database_under_the_id_that_the_caller_gets(
    taken: list[dict[str, Any]], options: Callable[[], dict[str, Any]]
) -> None:
    asked = options()

    result = _debug_task().apply_async(**asked)

    (headers,) = taken
    assert headers["id"] == result.id
    assert headers["eta"]
    assert bool(headers["expires"]) is ("expires" in asked)


def test_a_job_sent_by_name_waits_too_however_its_countdown_is_given(taken: list[dict[str, Any]]) -> None:
    current_app.send_task("engine.debug_task", (), {}, 3600)
    current_app.send_task("engine.debug_task", countdown=3600)

    assert len(taken) == 2


@pytest.mark.parametrize("options", [{}, {"countdown": 0}, {"countdown": 899}, {"eta": datetime(2020, 1, 1, tzinfo=UTC)}], ids=str)
def test_what_sqs_can_hold_is_sent_at_once(taken: list[dict[str, Any]], options: dict[str, Any]) -> None:
    with pytest.raises(SentToSqs):
        _debug_task().apply_async(**options)


def test_a_canvas_with_a_countdown_waits_part_by_part(taken: list[dict[str, Any]]) -> None:
    task = _debug_task()

    group(task.si() for _ in range(3)).apply_async(countdown=3600)
    chain(task.si(), task.si()).apply_async(countdown=3600)
    chord([task.si(), task.si()], task.si()).apply_async(countdown=3600)

    assert len(taken) == 3 + 1 + 2


@pytest.fixture
def run_of(define_task: DefineTask) -> Iterator[Callable[[], Any]]:
    """A task in the middle of a run."""
    task = define_task("reports.write")
    task.push_request(id="1", retries=0, called_directly=False, is_eager=False, delivery_info={}, args=(), kwargs={})
    yield lambda: task
    task.pop_request()


def test_a_retry_that_is_due_far_off_waits_in_the_database(taken: list[dict[str, Any]], run_of: Callable[[], Any]) -> None:
    with pytest.raises(Retry):
        run_of().retry(countdown=3600)

    assert [(headers["id"], headers["retries"]) for headers in taken] == [("1", 1)]


def test_a_retry_that_cannot_be_written_gives_the_message_back(
    taken: list[dict[str, Any]], run_of: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def database_is_away(*_: Any, **__: Any) -> None:
        raise OperationalError("the database is away")

    monkeypatch.setattr(OutboxProducer, "publish", database_is_away)

    with pytest.raises(Reject) as raised:
        run_of().retry(countdown=3600)

    assert raised.value.requeue


def test_a_worker_suspends_the_queues_whose_tasks_use_the_database_until_it_answers(
    define_task: DefineTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    define_task("reports.write")
    define_task("images.resize", uses_database=False)
    app: Any = current_app._get_current_object()
    # Of the shop's own tasks those on this queue use the database: here it has none but the one above.
    tasks = {name: task for name, task in app.tasks.items() if not name.startswith("images.") or name == "images.resize"}
    monkeypatch.setattr(type(app), "tasks", property(lambda _: tasks))
    monkeypatch.setattr(
        app, "_queues_that_use_the_database", Application.__dict__["_queues_that_use_the_database"].func(app), raising=False
    )
    reported: list[tuple[str, Callable[[], None]]] = []
    monkeypatch.setattr(app._database_watch, "report", lambda reason, _waiter, back: reported.append((reason, back)))
    channel = MagicMock()

    app.when_put_off(PutOff("twin", "busy"), channel)
    app.when_put_off(PutOff("breaker partner", "open", 60), channel)
    assert (channel.mock_calls, reported) == ([], [])
    app.when_put_off(PutOff(DATABASE, "refused"), channel)

    (suspended,) = channel.suspend.call_args.args
    assert "reports" in suspended
    assert "cpu_intensive" not in suspended
    ((reason, back),) = reported
    assert reason == "refused"
    channel.resume.assert_not_called()
    back()
    channel.resume.assert_called_once_with(suspended)
