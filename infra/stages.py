"""The stages: the same stacks with other values. Chosen by the context key ``stage``."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from app.topology.naming import check_prefix


class StageUnknown(ValueError):
    """The context names a stage that does not stand in :data:`STAGES`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """One deployment. Two stages may share an account: every physical name begins with the prefix."""

    name: str
    name_prefix: str
    keeps_data: bool
    """Queues, tables and buckets survive their stack, and tables and stacks refuse to be deleted."""
    has_point_in_time_recovery: bool
    """Tables can be restored to any second of the last 35 days. Paid per GB."""
    alarm_email: str | None = None
    """Gets every alarm, once its owner has confirmed the subscription."""

    def __post_init__(self) -> None:
        check_prefix(self.name_prefix)


DEV = Stage(name="dev", name_prefix="millrace-dev", keeps_data=False, has_point_in_time_recovery=False)
PROD = Stage(name="prod", name_prefix="millrace-prod", keeps_data=True, has_point_in_time_recovery=True)

STAGES = {stage.name: stage for stage in (DEV, PROD)}


def chosen_stage(context: Callable[[str], Any]) -> Stage:
    """The stage that the context asks for: ``stage`` (dev if absent), ``name_prefix`` and ``alarm_email`` (optional).

    Bucket names are shared by the whole world, so a real deployment sets ``name_prefix``.
    """
    name = context("stage") or DEV.name
    if name not in STAGES:
        raise StageUnknown(f"context key 'stage': expected {' or '.join(STAGES)}, got {name!r}. Pass it as: cdk synth --context stage=prod")
    stage = STAGES[name]
    return replace(
        stage,
        name_prefix=context("name_prefix") or stage.name_prefix,
        alarm_email=context("alarm_email") or stage.alarm_email,
    )
