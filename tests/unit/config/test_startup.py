"""No process starts in a project that is wrong. For the commands themselves see tests/architecture/test_replaceable.py."""

from typing import Any

import pytest
from celery import signals
from django.core.checks import Error, Warning  # noqa: A004 — Django's name for it

from app.config import startup
from app.config.startup import refuse_wrong_start

WRONG = Error("No queue carries the task 'paymnts.capture'.", hint="Add a route.", id="engine.E001")


def found(monkeypatch: pytest.MonkeyPatch, *messages: Any) -> None:
    monkeypatch.setattr(startup, "run_checks", lambda: list(messages))


def test_a_failing_check_ends_the_process_with_what_is_wrong_and_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    found(monkeypatch, WRONG)

    with pytest.raises(SystemExit) as ended:
        refuse_wrong_start()

    assert str(ended.value.code).splitlines()[0] == "This process does not start:"
    assert "engine.E001" in str(ended.value.code)
    assert "HINT: Add a route." in str(ended.value.code)


def test_a_warning_stops_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    found(monkeypatch, Warning("Hm.", id="shop.W001"))

    refuse_wrong_start()


@pytest.mark.parametrize("signal", [signals.worker_init, signals.beat_init], ids=["worker", "beat"])
def test_workers_and_beat_ask_at_their_start(signal: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    found(monkeypatch, WRONG)

    with pytest.raises(SystemExit, match="This process does not start"):
        _ = [receiver(sender=None) for receiver in signal._live_receivers(None) if receiver is refuse_wrong_start]
