"""Sizes, copies and Spot shares that Fargate takes."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from app.topology import TOPOLOGY, OneOffPolicy, TopologyError
from app.topology.fargate import problem_of_size
from app.topology.variables import VARIABLES, default_of, port_of


@pytest.mark.parametrize(
    ("cpu_units", "memory_mib"),
    [(256, 512), (256, 2048), (512, 1024), (512, 4096), (1024, 8192), (4096, 30720), (8192, 16384), (16384, 122880)],
)
def test_fargate_s_pairs_are_taken(cpu_units: int, memory_mib: int) -> None:
    assert problem_of_size(cpu_units, memory_mib) == ""


@pytest.mark.parametrize(
    ("cpu_units", "memory_mib", "problem"),
    [
        (300, 512, "cpu_units: Fargate has 256, 512"),
        (256, 4096, "memory_mib: with 256 CPU units Fargate has 512, 1024, 2048 MiB, got 4096"),
        (1024, 1024, "memory_mib: with 1024"),
        (8192, 17408, "memory_mib: with 8192"),
    ],
)
def test_others_are_refused_with_what_there_is(cpu_units: int, memory_mib: int, problem: str) -> None:
    assert problem_of_size(cpu_units, memory_mib).startswith(problem)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"memory_mib": 700}, "memory_mib"),
        ({"cpu_units": 100}, "cpu_units"),
        ({"copies": 0}, "copies"),
        ({"spot_weight": -1}, "spot_weight"),
        ({"spot_weight": 1001}, "spot_weight"),
        ({"start_period": timedelta(minutes=6)}, "start_period"),
    ],
)
def test_a_service_that_ecs_would_refuse_is_refused(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(TopologyError, match=problem):
        replace(TOPOLOGY.service("web"), **changes)


@pytest.mark.parametrize("changes", [{"copies": 2}, {"spot_weight": 1}])
def test_a_singleton_is_one_and_is_not_interrupted(changes: dict[str, Any]) -> None:
    with pytest.raises(TopologyError, match=next(iter(changes))):
        replace(TOPOLOGY.service("beat"), **changes)


def test_of_a_singleton_the_old_copy_goes_before_the_new_one_comes() -> None:
    assert TOPOLOGY.service("beat").healthy_percent == (0, 100)
    assert TOPOLOGY.service("web").healthy_percent == (100, 200)


def test_what_scaling_keeps_without_work_is_always_there() -> None:
    worker, relay = TOPOLOGY.service("worker-default"), TOPOLOGY.service("outbox-relay")
    assert worker.scaling is not None

    assert worker.steady_copies == worker.scaling.minimum
    assert relay.steady_copies == relay.copies


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"time_limit": timedelta(hours=2), "holds_up_deployment": True}, "time_limit"),
        ({"time_limit": timedelta(days=2)}, "time_limit"),
        ({"stop_timeout": timedelta(minutes=3)}, "stop_timeout"),
        ({"command": ()}, "command"),
        ({"command": "ls"}, "comma"),
        ({"memory_mib": 1}, "memory_mib"),
    ],
)
def test_a_one_off_that_nobody_could_wait_for_is_refused(changes: dict[str, Any], problem: str) -> None:
    good: dict[str, Any] = {"name": "once", "purpose": "Once.", "command": ("ls",), "time_limit": timedelta(minutes=1)}
    OneOffPolicy(**good)

    with pytest.raises(TopologyError, match=problem):
        OneOffPolicy(**good | changes)


def test_a_deployment_opens_the_ports_that_everybody_takes() -> None:
    defaults = {variable.name: variable.default for variable in VARIABLES}

    assert (port_of("DATABASE_PORT"), port_of("WEB_BIND")) == (5432, 8000)
    assert default_of("DATABASE_NAME") == defaults["DATABASE_NAME"]
