"""Is a service on this machine healthy. The http part is tested against a web service in tests/integration."""

import os
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from app.engine.conf import engine_settings
from app.engine.health.probe import problem_of
from app.engine.pulse import beat_pulse, pulse_age, pulse_file
from app.topology import TOPOLOGY, PulseHealth

WITH_PULSE = [service for service in TOPOLOGY.services if isinstance(service.health, PulseHealth)]
BEAT = TOPOLOGY.service("beat")


def problem(directory: Path) -> str | None:
    return problem_of(BEAT, address="127.0.0.1:1", pulse_directory=directory)


def age_pulse(directory: Path, by: timedelta) -> None:
    then = time.time() - by.total_seconds()
    os.utime(pulse_file(directory, BEAT.name), (then, then))


@pytest.fixture
def beating(tmp_path: Path) -> Path:
    beat_pulse(replace(engine_settings(), pulse_directory=tmp_path, service=BEAT.name))
    return tmp_path


def test_a_service_whose_loop_never_turned_is_not_healthy(tmp_path: Path) -> None:
    assert problem(tmp_path) == "no pulse yet"


def test_a_service_is_healthy_while_its_loop_turns(beating: Path) -> None:
    assert problem(beating) is None


def test_a_service_whose_loop_hangs_is_not_healthy_and_says_since_when(beating: Path) -> None:
    assert isinstance(BEAT.health, PulseHealth)
    age_pulse(beating, BEAT.health.max_age + timedelta(seconds=5))

    assert problem(beating) == "last pulse 125 s ago"


def test_a_turn_of_the_loop_makes_it_healthy_again(beating: Path) -> None:
    age_pulse(beating, timedelta(hours=1))
    beat_pulse(replace(engine_settings(), pulse_directory=beating, service=BEAT.name))

    assert problem(beating) is None


def test_the_pulse_of_another_service_says_nothing(tmp_path: Path) -> None:
    beat_pulse(replace(engine_settings(), pulse_directory=tmp_path, service="outbox-relay"))

    assert problem(tmp_path) == "no pulse yet"
    assert pulse_age(tmp_path, "outbox-relay") is not None


@pytest.mark.parametrize("service", WITH_PULSE, ids=lambda service: service.name)
def test_a_fresh_container_with_an_unknown_past_is_judged_by_its_own_patience(service: object, tmp_path: Path) -> None:
    assert problem_of(service, address="", pulse_directory=tmp_path) == "no pulse yet"  # type: ignore[arg-type]
