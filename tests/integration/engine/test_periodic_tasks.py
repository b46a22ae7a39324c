"""Schedules that are made while the system runs: by code, by command, through the API; and edits in the admin."""

import io
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from celery import current_app
from celery.schedules import crontab
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command
from django.db import connections
from django.test import Client
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from app.api.tokens import issue_token
from app.config.schedule import SCHEDULE
from app.engine.outbox import background
from app.engine.outbox.models import OutboxMessage
from app.engine.schedules.declared import install
from app.engine.schedules.errors import ScheduleRefused
from app.engine.schedules.missed import Missed
from app.engine.schedules.periodic_tasks import create_periodic_task, read_crontab
from app.engine.schedules.scheduler import Scheduler
from app.engine.schedules.writing import Change
from tests.support.quickly import quickly

pytestmark = pytest.mark.django_db

TASK = "engine.debug_task"
DECLARED_NAME = "engine.forget_old_effects"
NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


class Clock:
    def __init__(self, moment: datetime) -> None:
        self.moment = moment

    def __call__(self) -> datetime:
        return self.moment


@pytest.fixture(autouse=True)
def _nothing_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is published stays in the outbox, to be counted."""
    monkeypatch.setattr(background.background_relay, "wake", lambda: None)


@pytest.fixture
def staff() -> Client:
    operator = get_user_model().objects.create(username="olga", is_staff=True)
    return Client(headers={"Authorization": f"Bearer {issue_token(operator, 'tests')}"})


def rows() -> list[tuple[str, str, bool]]:
    return list(PeriodicTask.objects.order_by("name").values_list("name", "task", "enabled"))


# -- by code ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("schedule", [timedelta(minutes=5), crontab(minute="*/5"), read_crontab("0 8 * * mon-fri", "Europe/Berlin")])
def test_made_twice_it_is_there_once_and_its_due_times_go_on(schedule: Any) -> None:
    assert create_periodic_task("tea", TASK, schedule, kwargs={"seconds": 0}) is Change.CREATED
    before = PeriodicTask.objects.values().get()

    assert create_periodic_task("tea", TASK, schedule, kwargs={"seconds": 0}) is Change.UNCHANGED

    assert PeriodicTask.objects.values().get() == before


def test_made_again_with_other_words_it_is_updated() -> None:
    create_periodic_task("tea", TASK, timedelta(minutes=5))

    assert create_periodic_task("tea", TASK, crontab(minute=7), kwargs={"seconds": 1}, missed=Missed.ALL) is Change.UPDATED
    assert create_periodic_task("tea", TASK, crontab(minute=7), kwargs={"seconds": 1}, missed=Missed.SKIP) is Change.UPDATED

    entry = PeriodicTask.objects.get()
    assert (entry.interval, entry.crontab.minute, json.loads(entry.kwargs), entry.state.missed) == (None, "7", {"seconds": 1}, "skip")


@pytest.mark.django_db(transaction=True)
def test_made_by_many_at_once_it_is_there_once() -> None:
    changes: list[Change] = []

    def make() -> None:
        changes.append(create_periodic_task("tea", TASK, timedelta(minutes=5)))
        connections.close_all()

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)

    assert sorted(changes) == [Change.CREATED, *[Change.UNCHANGED] * 7]
    assert len(rows()) == 1


def test_what_was_switched_off_stays_off_unless_it_is_switched_on() -> None:
    create_periodic_task("tea", TASK, timedelta(minutes=5), enabled=False)
    create_periodic_task("tea", TASK, timedelta(minutes=6))
    assert rows() == [("tea", TASK, False)]

    create_periodic_task("tea", TASK, timedelta(minutes=6), enabled=True)
    assert rows() == [("tea", TASK, True)]


def test_it_stays_when_declared_schedules_are_installed() -> None:
    create_periodic_task("tea", TASK, timedelta(minutes=5))
    before = PeriodicTask.objects.values().get(name="tea")

    install(SCHEDULE)
    install({})

    assert PeriodicTask.objects.values().get() == before


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"task": "engine.debug_tsk"}, "no task is called 'engine.debug_tsk'. Did you mean 'engine.debug_task'"),
        ({"task": None}, "no task is called None"),
        ({"name": ""}, "the name must have 1 to 200"),
        ({"name": "a/b"}, "the name must have 1 to 200"),
        ({"name": "n" * 201}, "the name must have 1 to 200"),
        ({"name": DECLARED_NAME}, "declared in app/config/schedule.py"),
        ({"schedule": timedelta(0)}, "from a second to 41 years"),
        ({"schedule": timedelta(seconds=-1)}, "from a second to 41 years"),
        ({"schedule": timedelta(seconds=1.5)}, "whole seconds"),
        ({"schedule": NOON}, "neither a timedelta nor a crontab"),
        ({"schedule": "often"}, "neither a timedelta nor a crontab"),
        ({"kwargs": {"sugar": 2}}, "sugar"),
        ({"kwargs": {"seconds": object()}}, "cannot be published"),
        ({"args": [1, 2, 3]}, "cannot be published"),
    ],
)
def test_what_cannot_be_kept_is_refused_with_its_reason_and_changes_nothing(arguments: dict[str, Any], reason: str) -> None:
    asked: dict[str, Any] = {"name": "tea", "task": TASK, "schedule": timedelta(minutes=5)}
    with pytest.raises(ScheduleRefused) as refused:
        create_periodic_task(**asked | arguments)

    assert reason in str(refused.value)
    assert rows() == []


@pytest.mark.parametrize(
    ("text", "zone"),
    [
        ("", "UTC"),
        ("* * * *", "UTC"),
        ("* * * * * *", "UTC"),
        ("61 * * * *", "UTC"),
        ("* 24 * * *", "UTC"),
        ("-1 * * * *", "UTC"),
        ("*/0 * * * *", "UTC"),
        ("* * * * funday", "UTC"),
        ("0 0 30 2 *", "UTC"),
        ("1-999999999999 * * * *", "UTC"),
        ("1,,2 * * * *", "UTC"),
        (",".join(["1"] * 200) + " * * * *", "UTC"),
        ("* * * * *", "Europe/Atlantis"),
        ("* * * * *", "../../etc/passwd"),
    ],
)
def test_a_bad_crontab_is_a_clear_error(text: str, zone: str) -> None:
    with pytest.raises(ScheduleRefused) as refused:
        read_crontab(text, zone)

    assert len(refused.value.problems) == 1
    assert len(str(refused.value)) < 1500


# -- by command -------------------------------------------------------------------------------------------------------------


def command(*arguments: str) -> str:
    out = io.StringIO()
    call_command(*arguments, stdout=out)
    return out.getvalue()


def test_the_declared_schedules_are_installed_and_it_is_said_what_was_done() -> None:
    install({"last.year's": {"task": TASK, "schedule": timedelta(minutes=1)}})

    first = command("setup_celery_tasks").splitlines()
    PeriodicTask.objects.filter(name=DECLARED_NAME).update(enabled=False)
    second = command("setup_celery_tasks").splitlines()

    assert sorted(first) == sorted([*(f"created    {name}" for name in SCHEDULE), "removed    last.year's"])
    assert sorted(line.split()[1] for line in second) == sorted(SCHEDULE)
    assert {line.split()[0] for line in second} == {"unchanged"}
    assert [line for line in second if "stays off" in line] == [f"unchanged  {DECLARED_NAME}  (switched off by an operator: it stays off)"]


def test_a_person_makes_one_by_command() -> None:
    once = (
        "create_periodic_task",
        "tea",
        TASK,
        "--crontab",
        "0 8 * * mon-fri",
        "--timezone",
        "Europe/Berlin",
        "--kwargs",
        '{"seconds": 0}',
    )

    assert command(*once).startswith("created tea")
    assert command(*once).startswith("unchanged tea")
    assert command("create_periodic_task", "tea", TASK, "--every", "300", "--off").startswith("updated tea")
    assert rows() == [("tea", TASK, False)]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("tea", "engine.debug_tsk", "--every", "5"), "Did you mean"),
        (("tea", TASK, "--every", "0"), "from a second"),
        (("tea", TASK, "--every", "9" * 30), "too long"),
        (("tea", TASK, "--crontab", "61 * * * *"), "61"),
        (("tea", TASK, "--every", "5", "--args", "{"), "--args is not JSON"),
        (("tea", TASK, "--every", "5", "--kwargs", "[]"), "--kwargs must be a JSON object"),
    ],
)
def test_a_person_is_told_what_is_wrong(arguments: tuple[str, ...], reason: str) -> None:
    with pytest.raises(CommandError, match=reason):
        command("create_periodic_task", *arguments)

    assert rows() == []


# -- through the API --------------------------------------------------------------------------------------------------------


def put(client: Client, body: Any, name: str = "tea") -> Any:
    return client.put(f"/api/schedules/{name}", body if isinstance(body, str) else json.dumps(body), content_type="application/json")


def test_a_program_makes_changes_switches_and_deletes_one(staff: Client) -> None:
    made = put(staff, {"task": TASK, "crontab": "0 8 * * mon-fri", "timezone": "Europe/Berlin", "kwargs": {"seconds": 0}})
    again = put(staff, {"task": TASK, "crontab": "0 8 * * mon-fri", "timezone": "Europe/Berlin", "kwargs": {"seconds": 0}})
    changed = put(staff, {"task": TASK, "every_seconds": 300, "missed": "all"})

    assert (made.status_code, again.status_code, changed.status_code) == (201, 200, 200)
    assert (made.json()["crontab"], made.json()["timezone"], made.json()["declared"]) == ("0 8 * * mon-fri", "Europe/Berlin", False)
    assert made.json() == again.json()
    assert (changed.json()["every_seconds"], changed.json()["crontab"], changed.json()["missed"]) == (300, "", "all")
    off = staff.patch("/api/schedules/tea", '{"enabled": false}', content_type="application/json")
    assert (off.status_code, off.json()["enabled"], off.json()["next_due"]) == (200, False, None)
    assert [item["name"] for item in staff.get("/api/schedules").json()["items"]] == ["tea"]
    assert staff.delete("/api/schedules/tea").status_code == 204
    assert staff.get("/api/schedules/tea").status_code == 404
    assert staff.delete("/api/schedules/tea").status_code == 404


def test_a_declared_one_can_only_be_switched(staff: Client) -> None:
    install(SCHEDULE)

    assert put(staff, {"task": TASK, "every_seconds": 300}, DECLARED_NAME).status_code == 409
    assert staff.delete(f"/api/schedules/{DECLARED_NAME}").status_code == 409
    assert staff.patch(f"/api/schedules/{DECLARED_NAME}", '{"enabled": false}', content_type="application/json").json()["declared"]
    install(SCHEDULE)
    assert staff.get(f"/api/schedules/{DECLARED_NAME}").json()["enabled"] is False


GOOD = {"task": TASK, "every_seconds": 300}
BAD = [
    ("", 422),
    ("[", 400),
    ("[" * 100_000, 400),
    ('{"task": "a", "task": "b"}', 400),
    ('{"every_seconds": ' + "9" * 1000 + "}", 400),
    ('{"every_seconds": NaN}', 400),
    ("[]", 422),
    ("7", 422),
    ({}, 422),
    ({"task": TASK}, 422),
    (GOOD | {"crontab": "* * * * *"}, 422),
    (GOOD | {"task": "engine.debug_tsk"}, 422),
    (GOOD | {"task": 7}, 422),
    (GOOD | {"task": "a\0b"}, 422),
    (GOOD | {"every_seconds": 0}, 422),
    (GOOD | {"every_seconds": "300"}, 422),
    (GOOD | {"every_seconds": 10**30}, 422),
    (GOOD | {"every_seconds": True}, 422),
    (GOOD | {"kwargs": []}, 422),
    (GOOD | {"kwargs": {"sugar": 1}}, 422),
    (GOOD | {"args": {}}, 422),
    (GOOD | {"args": [1, 2, 3]}, 422),
    (GOOD | {"missed": "never"}, 422),
    (GOOD | {"enabled": "yes"}, 422),
    (GOOD | {"sugar": 1}, 422),
    ({"task": TASK, "crontab": "61 * * * *"}, 422),
    ({"task": TASK, "crontab": "* * * *"}, 422),
    ({"task": TASK, "crontab": "*," * 299 + "* * * * *"}, 422),
    ({"task": TASK, "crontab": "* * * * *", "timezone": "Mars/Olympus"}, 422),
]


@pytest.mark.parametrize(("body", "status"), BAD)
def test_bad_input_is_told_at_once_with_a_reason_and_makes_nothing(staff: Client, body: Any, status: int) -> None:
    put(staff, GOOD, "warm-up")
    answer = quickly(lambda: put(staff, body))

    assert answer.status_code == status, answer.content
    assert answer["Content-Type"] == "application/problem+json"
    assert answer.json().get("errors") or answer.json()["detail"]
    assert rows() == [("warm-up", TASK, True)]
    assert not OutboxMessage.objects.exists()


@pytest.mark.parametrize("name", ["a%2Fb", "%00", "n" * 201, "-tea", "t%0Aea", "%F0%9F%8D%B5"])
def test_a_name_that_no_address_could_carry_is_refused(staff: Client, name: str) -> None:
    assert put(staff, GOOD, name).status_code in (404, 422)
    assert rows() == []


def test_only_staff_may() -> None:
    customer = get_user_model().objects.create(username="ada")
    assert put(Client(headers={"Authorization": f"Bearer {issue_token(customer, 'tests')}"}), GOOD).status_code == 403
    assert Client().get("/api/schedules").status_code == 401
    assert rows() == []


# -- while beat runs --------------------------------------------------------------------------------------------------------


@pytest.fixture
def beat() -> Iterator[tuple[Scheduler, Clock]]:
    """A beat where nothing is declared."""
    current_app.conf.beat_schedule = {}
    clock = Clock(datetime.now(UTC))
    scheduler = Scheduler(app=current_app, now=clock)
    yield scheduler, clock
    scheduler.close()
    current_app.conf.beat_schedule = SCHEDULE


@pytest.mark.django_db(transaction=True)
def test_what_is_made_and_edited_while_beat_runs_takes_effect_without_a_restart(
    beat: tuple[Scheduler, Clock], staff: Client, admin_client: Client
) -> None:
    scheduler, clock = beat
    scheduler.tick()
    put(staff, {"task": TASK, "every_seconds": 3600})
    scheduler.tick()
    clock.moment += timedelta(minutes=2)
    scheduler.tick()
    assert not OutboxMessage.objects.exists()

    entry = PeriodicTask.objects.get()
    often = IntervalSchedule.objects.create(every=30, period=IntervalSchedule.SECONDS)
    form = {
        "name": "tea",
        "task": TASK,
        "regtask": "",
        "interval": often.pk,
        "enabled": "on",
        "args": "[]",
        "kwargs": "{}",
        "headers": "{}",
    }
    inline = {"state-TOTAL_FORMS": 1, "state-INITIAL_FORMS": 1, "state-0-entry": entry.pk, "state-0-missed": "one"}
    edited = admin_client.post(f"/admin/django_celery_beat/periodictask/{entry.pk}/change/", form | inline)
    assert edited.status_code == 302, edited.content.decode()
    scheduler.tick()
    clock.moment += timedelta(seconds=31)
    scheduler.tick()
    sent = OutboxMessage.objects.filter(task=TASK).count()
    assert sent >= 1

    staff.patch("/api/schedules/tea", '{"enabled": false}', content_type="application/json")
    clock.moment += timedelta(minutes=5)
    scheduler.tick()
    assert OutboxMessage.objects.filter(task=TASK).count() == sent
