"""What the engine's unit tests share: tasks that exist for one test."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from celery import current_app

DefineTask = Callable[..., Any]


@pytest.fixture(autouse=True)
def _without_register(monkeypatch: pytest.MonkeyPatch) -> None:
    """The register's thread would look for a ledger until the tests end."""
    monkeypatch.setattr(current_app, "job_register", None)


@pytest.fixture
def define_task() -> Iterator[DefineTask]:
    """``define_task("letters.write", time_limit=…)``: a registered task that is gone after the test."""
    names: list[str] = []
    app = current_app._get_current_object()  # a test may make an application, which then is the current one

    def define(name: str, body: Callable[..., Any] = lambda: None, **options: Any) -> Any:
        # Celery knows tasks of one function by the function: each needs its own.
        def run(*args: Any, **kwargs: Any) -> Any:
            return body(*args, **kwargs)

        names.append(name)
        return app.task(name=name, typing=False, shared=False, **options)(run)

    yield define
    for name in names:
        app._tasks.pop(name, None)  # the registry itself: a test may show another one
