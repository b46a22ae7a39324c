"""What would fail at night fails at the start, and says what to do."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from app.engine import checks
from app.engine.sagas import definition
from app.engine.sagas.definition import SagaDefinition, Step
from tests.unit.engine.conftest import DefineTask

CHECKS = (
    checks.check_routes,
    checks.check_time_limits,
    checks.check_schedule,
    checks.check_publications,
    checks.check_declared_entries,
    checks.check_sagas,
)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_this_project_is_right(check: Any) -> None:
    assert list(check()) == []


def test_a_task_that_no_queue_carries_is_e001_and_told_the_routes(define_task: DefineTask) -> None:
    define_task("paymnts.capture")

    (message,) = checks.check_routes()

    assert message.id == "engine.E001"
    assert message.msg == "No queue carries the task 'paymnts.capture'."
    assert str(message.hint).startswith("Add a route in app/topology/queues.py, or correct the name. The routes are ")
    assert "payments.*" in str(message.hint)


def test_a_task_that_asks_for_more_time_than_its_queue_allows_is_e002(define_task: DefineTask) -> None:
    define_task("notifications.brood", time_limit=61)

    (message,) = checks.check_time_limits()

    assert message.id == "engine.E002"
    assert message.msg == "The task 'notifications.brood' asks for 61 s, its queue 'notifications' allows 60 s."
    assert "Lower the task's time_limit" in str(message.hint)


def test_a_task_may_ask_for_exactly_what_its_queue_allows(define_task: DefineTask) -> None:
    define_task("notifications.blink", time_limit=60)

    assert list(checks.check_time_limits()) == []


def test_a_schedule_that_starts_no_task_is_e003_and_guesses_what_was_meant(settings: Any) -> None:
    settings.CELERY = settings.CELERY | {"beat_schedule": {"nightly": {"task": "engine.debug_tsk", "schedule": 60}}}

    (message,) = checks.check_schedule()

    assert message.id == "engine.E003"
    assert message.msg == "The schedule 'nightly' starts 'engine.debug_tsk', which is no task."
    assert message.hint == "Correct the name in app/config/schedule.py. Did you mean 'engine.debug_task'?"


def test_a_schedule_that_cannot_be_kept_is_e005(settings: Any) -> None:
    settings.CELERY = settings.CELERY | {"beat_schedule": {"nightly": {"task": "engine.debug_task", "schedule": 60, "mised": "all"}}}

    (message,) = checks.check_declared_entries()

    assert message.id == "engine.E005"
    assert message.msg.startswith("The schedule 'nightly' cannot be kept: 'mised' is not one of task, schedule, ")
    assert str(message.hint).startswith("Correct it in app/config/schedule.py")


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Django app of its own beneath a copy of ``app``."""
    directory = tmp_path / "app" / "workload" / "shop"
    directory.mkdir(parents=True)
    monkeypatch.setattr(checks, "__file__", str(tmp_path / "app" / "engine" / "checks.py"))
    monkeypatch.setattr(checks, "apps", SimpleNamespace(get_app_configs=lambda: [SimpleNamespace(path=str(directory))]))
    return directory


def test_publishing_a_name_that_is_no_task_is_e004_with_file_line_and_a_guess(shop: Path) -> None:
    (shop / "services.py").write_text("def order(payment):\n    publish('engine.debug_tsk', payment_id=payment.pk)\n")

    (message,) = checks.check_publications()

    assert message.id == "engine.E004"
    assert message.msg == "app/workload/shop/services.py:2 publishes 'engine.debug_tsk', which is no task."
    assert str(message.hint).endswith("Did you mean 'engine.debug_task'?")


def test_publications_are_found_wherever_the_function_is_called_from(shop: Path) -> None:
    (shop / "deeper").mkdir()
    (shop / "deeper" / "services.py").write_text("publisher.publish('a.b')\nx = [outbox.publisher.publish('c.d', n=1)]\n")

    assert [message.msg.split("'")[1] for message in checks.check_publications()] == ["a.b", "c.d"]


def test_what_is_no_literal_or_no_publication_is_left_alone(shop: Path) -> None:
    (shop / "services.py").write_text(
        "publish('engine.debug_task')\npublish(name)\npublish()\npublish(1)\npublishers('a.b')\nbook.published('a.b')\n"
    )

    assert list(checks.check_publications()) == []


def test_apps_of_others_are_not_read(shop: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    elsewhere = tmp_path / "site-packages" / "other"
    elsewhere.mkdir(parents=True)
    (elsewhere / "services.py").write_text("publish('a.b')\n")
    monkeypatch.setattr(checks, "apps", SimpleNamespace(get_app_configs=lambda: [SimpleNamespace(path=str(elsewhere))]))

    assert list(checks.check_publications()) == []


def test_a_saga_that_starts_no_task_is_e006_and_guesses_what_was_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = (Step(name="one", task="engine.debug_task", compensation="engine.debug_tsk"),)
    saga = SagaDefinition(name="library.send_book", steps=steps, arguments=lambda subject: {"subject": subject})
    monkeypatch.setattr(definition, "_declared", {saga.name: saga})

    (message,) = checks.check_sagas()

    assert message.id == "engine.E006"
    assert message.msg == "The saga 'library.send_book' starts 'engine.debug_tsk', which is no task."
    assert str(message.hint).endswith("Did you mean 'engine.debug_task'?")
