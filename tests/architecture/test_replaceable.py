"""The sample shop can be taken out by the documented steps, and what is wrong stops every process at its start, saying what to do."""

import json
import re

import pytest

from tests.architecture.conftest import Project

_LOOK_AROUND = """
import json
from app.config.environment import use_settings
use_settings()
import django
django.setup()
from celery import current_app
from django.urls import reverse
names = ("home", "console:overview", "health:live", "health:ready", "health:workers", "api:openapi-json", "api:openapi-view", "admin:index")
print(json.dumps({"tasks": sorted(current_app.tasks), "urls": [reverse(name) for name in names]}))
"""


def without_workload(project: Project) -> None:
    """The steps of docs/how-to: three empty registrations, one folder less, no schedule of a task that is gone."""
    project.remove("app/workload")
    project.write("app/config/workload.py", "APPS: list[str] = []\nAPI_ROUTERS: dict[str, str] = {}\nPAGES: dict[str, str] = {}\n")
    schedule = project.root / "app/config/schedule.py"
    schedule.write_text(re.sub(r'^    "(?!api\.|engine\.)[a-z_]+\.[a-z_.]+": \{.*\},\n', "", schedule.read_text(), flags=re.MULTILINE))


def test_without_the_sample_shop_the_platform_is_whole(project: Project) -> None:
    without_workload(project)

    done = project.run("python", "-m", "app.manage", "check")

    assert done.returncode == 0, done.stderr

    seen = project.run("python", "-c", _LOOK_AROUND)
    assert seen.returncode == 0, seen.stderr
    found = json.loads(seen.stdout)
    assert {"/console/", "/health/live", "/health/workers", "/api/docs"} <= set(found["urls"])
    assert "engine.debug_task" in found["tasks"]
    assert {task.partition(".")[0] for task in found["tasks"]} <= {"engine", "api", "celery"}


# -- what is wrong stops at the start ------------------------------------------------------------------------------------


def misspell_declaration(project: Project) -> None:
    project.change("app/engine/tasks.py", '"engine.debug_task"', '"engin.debug_task"')


def misspell_publication(project: Project) -> None:
    project.append("app/workload/payments/services.py", 'def _late() -> None:\n    publish("payments.captrue")\n')


def misspell_schedule(project: Project) -> None:
    project.change("app/config/schedule.py", '"task": "api.forget_old_requests"', '"task": "api.forget_old_request"')


def ask_for_an_impossible_visibility_timeout(project: Project) -> None:
    project.change("app/topology/queues.py", "visibility_timeout=timedelta(minutes=2)", "visibility_timeout=timedelta(hours=13)")


def leave_as_it_is(_: Project) -> None:
    """The environment is what is wrong."""


CHECK = ("python", "-m", "app.manage", "check")
WORKER = ("celery", "--app", "app.config", "worker", "--pool", "solo")
WEB = ("gunicorn", "--check-config", "--config", "python:app.config.gunicorn", "app.config.wsgi:application")

DECLARATION = (misspell_declaration, None, "engine.E001", "Add a route in app/topology/queues.py, or correct the name")
PUBLICATION = (misspell_publication, None, "publishes 'payments.captrue'", "Correct the name, or declare the task in a tasks.py")
SCHEDULE = (misspell_schedule, None, "engine.E003", "Did you mean 'api.forget_old_requests'?")
TIMEOUT = (
    ask_for_an_impossible_visibility_timeout,
    None,
    "QueuePolicy 'cpu_intensive': visibility_timeout",
    "expected 0:00:15 to 12:00:00",
)
VARIABLE = (leave_as_it_is, "DATABASE_HOST", "DATABASE_HOST: expected a value, got nothing.", "PostgreSQL's host")

STARTS = [
    (CHECK, DECLARATION),
    (CHECK, PUBLICATION),
    (CHECK, SCHEDULE),
    (CHECK, TIMEOUT),
    (CHECK, VARIABLE),
    (WORKER, DECLARATION),
    (WORKER, VARIABLE),
    (WEB, PUBLICATION),
    (WEB, VARIABLE),
]


@pytest.mark.parametrize(("command", "wrong"), STARTS, ids=[f"{command[0]}-{wrong[0].__name__}" for command, wrong in STARTS])
def test_what_is_wrong_stops_the_start_and_says_what_to_do(project: Project, command: tuple[str, ...], wrong: tuple[object, ...]) -> None:
    break_it, without, problem, way_out = wrong
    break_it(project)  # type: ignore[operator]

    done = project.run(*command, without=without)  # type: ignore[arg-type]

    said = done.stdout + done.stderr
    assert done.returncode != 0, said
    assert str(problem) in said
    assert str(way_out) in said


@pytest.mark.parametrize("command", [CHECK, WORKER, WEB], ids=["manage", "celery", "gunicorn"])
def test_a_missing_variable_is_told_without_a_traceback(project: Project, command: tuple[str, ...]) -> None:
    done = project.run(*command, without="STRIPE_API_KEY")

    assert done.returncode != 0
    assert "STRIPE_API_KEY: expected a value, got nothing." in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
