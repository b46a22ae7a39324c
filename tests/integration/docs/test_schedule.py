"""docs/how-to/schedule-a-task.md: what it declares, makes and reads is taken as it stands there."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from celery import current_app
from django.core.management import call_command
from django_celery_beat.models import PeriodicTask

from app.engine.schedules.declared import install
from tests.integration.docs.pages import code_of, execute

pytestmark = pytest.mark.django_db
DECLARED, MADE, BILL = code_of("schedule-a-task.md")


def _plain() -> None:
    """Of the tasks that the page leaves to the reader."""


def _of_a_branch(*, branch: int) -> None:
    """The same."""


TASKS: dict[str, Callable[..., None]] = {
    "engine.library_remind_all": _plain,
    "engine.library_count": _of_a_branch,
    "engine.library_bill_branch": _of_a_branch,
    "engine.library_warm": _plain,
}
BILL_TASK = "engine.library_bill"


@pytest.fixture
def page() -> Iterator[dict[str, Any]]:
    for name, function in TASKS.items():
        current_app.task(name=name, shared=False)(function)
    known: dict[str, Any] = {}
    execute(BILL, known)
    yield known
    for name in (*TASKS, BILL_TASK):
        current_app.tasks.pop(name, None)


def test_what_is_declared_is_installed_once(page: dict[str, Any]) -> None:
    execute(DECLARED, page)

    first, second = install(page["SCHEDULE"]), install(page["SCHEDULE"])

    assert {str(change) for change in first.changes.values()} == {"created"}
    assert {str(change) for change in second.changes.values()} == {"unchanged"}
    count, bill = (PeriodicTask.objects.get(name=f"engine.library_{name}") for name in ("count", "bill"))
    assert (str(count.crontab.timezone), count.kwargs) == ("UTC", '{"branch": 3}')
    assert (str(bill.crontab.timezone), bill.crontab.hour, bill.crontab.minute) == ("Europe/Berlin", "2", "30")


def test_what_code_makes_is_there_once_and_the_command_updates_it(page: dict[str, Any]) -> None:
    for _ in range(2):
        execute(MADE, page)
    made = {entry.name: entry for entry in PeriodicTask.objects.all()}

    assert sorted(made) == ["bill branch 3", "warm the cache"]
    assert (made["bill branch 3"].crontab.day_of_week, str(made["bill branch 3"].crontab.timezone)) == ("mon-fri", "Europe/Berlin")
    assert made["warm the cache"].schedule.run_every == timedelta(minutes=5)

    call_command(
        "create_periodic_task", "bill branch 3", "engine.library_bill_branch", "--every", "300", "--off", "--kwargs", '{"branch": 3}'
    )
    entry = PeriodicTask.objects.get(name="bill branch 3")
    assert (entry.enabled, entry.schedule.run_every) == (False, timedelta(minutes=5))


def test_a_job_knows_for_which_day_it_is(page: dict[str, Any]) -> None:
    due = datetime.fromisoformat("2026-03-29T01:30:00+00:00")
    task = current_app.tasks[BILL_TASK]
    assert page["bill"].__wrapped__.__func__(SimpleNamespace(request=SimpleNamespace(headers={"due_at": due.isoformat()}))) == "2026-03-29"
    assert task.name == BILL_TASK
