"""What would fail at night fails at the start: the system checks ``engine.E001`` to ``engine.E006``."""

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from celery import current_app
from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage, Error

from app.engine.conf import engine_settings
from app.engine.schedules.declaration import problems_of
from app.engine.task_names import suggestion


def check_routes(**_: Any) -> Iterable[CheckMessage]:
    """E001: every registered task has a queue."""
    topology = engine_settings().topology
    routes = ", ".join(sorted(route for queue in topology.queues for route in queue.routes))
    for name in _task_names():
        if topology.queue_for(name) is None:
            yield Error(
                f"No queue carries the task {name!r}.",
                hint=f"Add a route in app/topology/queues.py, or correct the name. The routes are {routes}.",
                id="engine.E001",
            )


def check_time_limits(**_: Any) -> Iterable[CheckMessage]:
    """E002: no task asks for more time than its queue allows."""
    topology = engine_settings().topology
    for name in _task_names():
        queue = topology.queue_for(name)
        limit = current_app.tasks[name].time_limit
        if queue is not None and limit is not None and limit > queue.time_limit.total_seconds():
            yield Error(
                f"The task {name!r} asks for {limit:g} s, its queue {queue.name!r} allows {queue.time_limit.total_seconds():g} s.",
                hint="Lower the task's time_limit, raise the queue's in app/topology/queues.py, or route the task to a queue for long work.",
                id="engine.E002",
            )


def check_schedule(**_: Any) -> Iterable[CheckMessage]:
    """E003: every declared schedule names a task that exists."""
    known = set(_task_names())
    for entry, schedule in settings.CELERY["beat_schedule"].items():
        if schedule["task"] not in known:
            yield Error(
                f"The schedule {entry!r} starts {schedule['task']!r}, which is no task.",
                hint=f"Correct the name in app/config/schedule.py.{suggestion(schedule['task'], known)}",
                id="engine.E003",
            )


def check_declared_entries(**_: Any) -> Iterable[CheckMessage]:
    """E005: every declared schedule can be kept: its times, its arguments, its words."""
    for entry, declared in settings.CELERY["beat_schedule"].items():
        for problem in problems_of(declared, task=current_app.tasks.get(declared.get("task"))):
            yield Error(
                f"The schedule {entry!r} cannot be kept: {problem}.",
                hint="Correct it in app/config/schedule.py; docs/how-to/schedule-a-task.md shows what can be said.",
                id="engine.E005",
            )


def check_publications(**_: Any) -> Iterable[CheckMessage]:
    """E004: every literal name given to ``publish()`` or ``publish_unique()`` is a task. Names computed at run time are checked when they are published."""
    known = set(_task_names())
    root = Path(__file__).resolve().parents[1]
    for config in apps.get_app_configs():
        directory = Path(config.path).resolve()
        if not directory.is_relative_to(root) or directory == Path(__file__).resolve().parent:
            continue
        for module in sorted(directory.rglob("*.py")):
            for line, name in _published_names(module):
                if name not in known:
                    yield Error(
                        f"{module.relative_to(root.parent)}:{line} publishes {name!r}, which is no task.",
                        hint=f"Correct the name, or declare the task in a tasks.py of an installed app.{suggestion(name, known)}",
                        id="engine.E004",
                    )


def check_sagas(**_: Any) -> Iterable[CheckMessage]:
    """E006: every step and compensation of a declared saga is a task."""
    from app.engine.sagas.definition import declared

    known = set(_task_names())
    for definition in declared():
        for name in definition.tasks:
            if name not in known:
                yield Error(
                    f"The saga {definition.name!r} starts {name!r}, which is no task.",
                    hint=f"Correct the name in the app's sagas.py, or declare the task in a tasks.py of an installed app.{suggestion(name, known)}",
                    id="engine.E006",
                )


def _published_names(module: Path) -> Iterator[tuple[int, str]]:
    source = module.read_text(encoding="utf-8")
    if "publish" not in source:
        return
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call) or not node.args:
            continue
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", None)
        first = node.args[0]
        if called in ("publish", "publish_unique") and isinstance(first, ast.Constant) and isinstance(first.value, str):
            yield node.lineno, first.value


def _task_names() -> list[str]:
    """The tasks of the installed apps. Reads the registry only: Celery's own import of tasks would run these checks again."""
    return sorted(current_app.tasks)
