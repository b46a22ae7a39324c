"""Runs one of Django's commands in the cloud: a task of ECS like those of a service, with another command, in its place and with its role.

Needs no shell in a container, which production does not have. Costs a minute, in which Fargate starts the task.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from app.topology.naming import cluster_name, log_group_name, service_name

_WITHIN = timedelta(minutes=30)
_LOOK_EVERY = timedelta(seconds=2)


class OneOffFailed(RuntimeError):
    """The task was not started, or did not end in time. The message says what to do."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ended:
    exit_code: int | None
    """``None``: the container never began."""
    reason: str
    lines: tuple[str, ...]


def run_like(
    service: str,
    command: Sequence[str],
    *,
    prefix: str,
    client: Callable[[str], Any],
    started_by: str,
    tell: Callable[[str], None],
    look_every: timedelta = _LOOK_EVERY,
) -> Ended:
    """Run a command as ``service`` would run it, and wait for its end. Raises :class:`OneOffFailed`."""
    ecs, cluster, name = client("ecs"), cluster_name(prefix), service_name(prefix, service)
    found = ecs.describe_services(cluster=cluster, services=[name])["services"]
    if not found or found[0]["status"] != "ACTIVE":
        raise OneOffFailed(f"There is no service {name} in the cluster {cluster}. Is the stage deployed, in this region and account?")
    answer = ecs.run_task(
        cluster=cluster,
        taskDefinition=found[0]["taskDefinition"],
        networkConfiguration=found[0]["networkConfiguration"],
        capacityProviderStrategy=[{"capacityProvider": "FARGATE", "weight": 1}],
        overrides={"containerOverrides": [{"name": service, "command": list(command)}]},
        startedBy=started_by,
    )
    if answer.get("failures") or not answer["tasks"]:
        raise OneOffFailed(
            f"ECS did not start the task: {answer.get('failures')}. Try again; if it stays so, look at the cluster's capacity."
        )
    arn = answer["tasks"][0]["taskArn"]
    tell(f"Task {arn.rpartition('/')[2]} runs: {' '.join(command)}")
    task = _await_end(ecs, cluster, arn, look_every)
    (container,) = [one for one in task["containers"] if one["name"] == service]
    reason = container.get("reason") or task.get("stoppedReason") or ""
    lines = _lines(client("logs"), log_group_name(prefix, service), f"{service}/{service}/{arn.rpartition('/')[2]}")
    return Ended(exit_code=container.get("exitCode"), reason=reason, lines=lines)


def _await_end(ecs: Any, cluster: str, arn: str, look_every: timedelta) -> dict[str, Any]:
    deadline = time.monotonic() + _WITHIN.total_seconds()
    while True:
        task: dict[str, Any] = ecs.describe_tasks(cluster=cluster, tasks=[arn])["tasks"][0]
        if task["lastStatus"] == "STOPPED":
            return task
        if time.monotonic() > deadline:
            raise OneOffFailed(
                f"The task {arn} still runs after {_WITHIN}. It goes on; stop it with: aws ecs stop-task --cluster {cluster} --task {arn}"
            )
        time.sleep(look_every.total_seconds())


def _lines(logs: Any, group: str, stream: str) -> tuple[str, ...]:
    """What the command printed; nothing if it printed nothing, or never began."""
    try:
        events = logs.get_log_events(logGroupName=group, logStreamName=stream, startFromHead=True)["events"]
    except logs.exceptions.ResourceNotFoundException:
        return ()
    return tuple(event["message"] for event in events)
