"""What the engine needs to know, and how to reach it."""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from django.conf import settings

from app.topology import Topology

#: Of a time limit without a soft one of its own: the rest is for saving the work.
SOFT_SHARE = 0.9


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineSettings:
    """Stands in the Django settings as ``ENGINE``; made by the composition root from the environment."""

    topology: Topology
    name_prefix: str
    service: str
    release: str
    region: str
    account_id: str
    endpoint_url: str | None
    """Another AWS than the real one."""
    pulse_directory: Path
    result_ttl: timedelta
    longest_sqs_delay: timedelta
    """Jobs that are due later than this wait in the database."""
    sqs_wait_time: timedelta
    """How long SQS holds an empty receive."""
    ecs_agent_url: str | None
    """Where a container talks to ECS's agent; ``None`` outside of ECS."""
    ecs_metadata_url: str | None
    """Where ECS tells a container which task it is."""
    protect_runs_after: timedelta
    """A run that lasts longer keeps ECS from scaling its task in."""
    outbound_allowed: frozenset[str] = frozenset()
    """``host:port`` of servers that are called although they are not of the public internet."""


def engine_settings() -> EngineSettings:
    """The settings of this process. Pure functions take them as an argument; only edges call this."""
    configured: EngineSettings = settings.ENGINE
    return configured
