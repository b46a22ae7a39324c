"""A graceful stop that ends before ECS sends SIGKILL."""

import os
import signal
import threading
from dataclasses import replace
from typing import Any

import pytest

from app.engine.conf import engine_settings
from app.engine.workers import grace
from app.topology import TOPOLOGY, ServicePolicy

WORKERS = [service for service in TOPOLOGY.services if service.consumes]


@pytest.fixture
def timers(monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, Any]]:
    """What was asked to happen, and after how many seconds."""
    started: list[tuple[float, Any]] = []

    class Timer:
        daemon = False

        def __init__(self, seconds: float, action: Any) -> None:
            self.wanted = (seconds, action)

        def start(self) -> None:
            started.append(self.wanted)

    monkeypatch.setattr(threading, "Timer", Timer)
    return started


def serve(monkeypatch: pytest.MonkeyPatch, service: str) -> None:
    monkeypatch.setattr(grace, "engine_settings", lambda: replace(engine_settings(), service=service))


@pytest.mark.parametrize("worker", WORKERS, ids=lambda service: service.name)
def test_a_worker_gives_back_what_it_cannot_finish_before_ecs_kills_it(
    worker: ServicePolicy, timers: list[tuple[float, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(monkeypatch, worker.name)

    grace.Grace().begin("Warm")

    ((seconds, _),) = timers
    assert 0 < seconds == (worker.stop_timeout - grace.MARGIN).total_seconds()


def test_a_worker_that_a_person_started_waits_for_its_runs(timers: list[tuple[float, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, "shell")

    grace.Grace().begin("Warm")

    assert timers == []


def test_a_cold_stop_needs_no_end(timers: list[tuple[float, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, WORKERS[0].name)

    grace.Grace().begin("Cold")

    assert timers == []


def test_when_its_grace_is_over_the_worker_asks_itself_to_stop_cold(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda pid, number: sent.append((pid, number)))

    grace._end()

    assert sent == [(os.getpid(), signal.SIGQUIT)]


def test_a_second_sigterm_is_an_order_to_stop_cold(timers: list[tuple[float, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, "shell")
    sent: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda pid, number: sent.append((pid, number)))
    grace_of_this_worker = grace.Grace()

    grace_of_this_worker.begin("Warm")
    assert sent == []
    grace_of_this_worker.begin("Warm")

    assert sent == [(os.getpid(), signal.SIGQUIT)]
    assert timers == []
