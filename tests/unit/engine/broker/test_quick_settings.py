"""The quick look-up finds what Celery's own finds, and raises what that raises."""

from typing import Any

import pytest
from celery import Celery

from app.engine.broker.program import Program
from app.engine.broker.quick_settings import QuickSettings

NAMES = (
    "task_always_eager",
    "CELERY_ALWAYS_EAGER",
    "task_default_queue",
    "always_eager",
    "task_time_limit",
    "no_such_setting",
    "beat_schedule",
)


class _Source:
    """Settings as attributes of an object."""

    task_default_queue = "of an object"


_SOURCE = _Source()


def _plain(app: Celery) -> None:
    app.conf.task_default_queue = "orders"


def _old_names(app: Celery) -> None:
    app.conf.update({"CELERY_ALWAYS_EAGER": True, "CELERY_DEFAULT_QUEUE": "orders"})


def _from_object(app: Celery) -> None:
    app.config_from_object(_SOURCE)


def _namespace(app: Celery) -> None:
    app.config_from_object({"CELERY_TASK_ALWAYS_EAGER": True, "CELERY_TASK_DEFAULT_QUEUE": "orders"}, namespace="CELERY")


def _defaults(app: Celery) -> None:
    app.add_defaults({"task_default_queue": "a default", "no_such_setting": 3})


def _late_defaults(app: Celery) -> None:
    assert app.conf.task_default_queue == "celery"
    app.conf.add_defaults({"task_default_queue": "a late default"})


def _taken_back(app: Celery) -> None:
    app.conf.task_default_queue = "orders"
    assert app.conf.task_default_queue == "orders"
    del app.conf["task_default_queue"]


def _found(app: Celery, name: str) -> Any:
    try:
        return app.conf[name]
    except KeyError as error:
        return str(error)


@pytest.mark.parametrize("configure", [_plain, _old_names, _from_object, _namespace, _defaults, _late_defaults, _taken_back])
def test_every_look_up_ends_as_celerys(configure: Any) -> None:
    ours, theirs = Program("ours", set_as_current=False), Celery("theirs", set_as_current=False)
    configure(ours)
    configure(theirs)

    assert {name: _found(ours, name) for name in NAMES} == {name: _found(theirs, name) for name in NAMES}
    assert dict(ours.conf) == dict(theirs.conf)


def test_a_program_has_quick_settings_and_keeps_them_in_a_copy() -> None:
    app = Program("ours", set_as_current=False)
    before = app.conf

    assert app.conf.task_default_queue == "celery"
    assert type(before) is type(app.conf) is type(app.conf.copy()) is QuickSettings


def test_a_changed_setting_is_found_by_the_next_look_up() -> None:
    app = Program("ours", set_as_current=False)
    found = []
    for queue in ("one", "two"):
        app.conf.task_default_queue = queue
        found.append(app.conf.task_default_queue)

    assert found == ["one", "two"]
