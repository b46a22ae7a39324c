"""Where beat publishes how many tasks are missing."""

import atexit
import threading
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace

import pytest
from django.conf import settings

from app.engine import apps
from app.engine.conf import engine_settings

BEAT = SimpleNamespace(scheduler=SimpleNamespace(is_leading=False))


@pytest.fixture
def at_exit(monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], None]]:
    called: list[Callable[[], None]] = []
    monkeypatch.setattr(atexit, "register", called.append)
    return called


def publishing() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "capacity-deficit"]


def test_in_ecs_it_does_until_it_ends(at_exit: list[Callable[[], None]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "ENGINE", replace(engine_settings(), ecs_agent_url="http://169.254.170.2/api/x"))

    apps._publish_capacity_deficit(sender=BEAT)
    assert publishing() == ["capacity-deficit"]

    (stop,) = at_exit
    stop()
    assert publishing() == []


def test_on_a_laptop_it_does_not(at_exit: list[Callable[[], None]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "ENGINE", replace(engine_settings(), ecs_agent_url=None))

    apps._publish_capacity_deficit(sender=BEAT)

    assert (publishing(), at_exit) == ([], [])
