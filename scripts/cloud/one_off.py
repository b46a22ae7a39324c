"""Starts one of Django's commands in the cloud, as a task of ECS, and stops it.

Needs no shell in a container, which production does not have. Costs half a minute to a minute, in which Fargate starts the task.
"""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from app.topology import TOPOLOGY, OneOffPolicy
from app.topology.naming import cluster_name, log_group_name, service_name

STARTED_BY = "scripts/operate"
#: The tag of a task that says who has started it.
BY = "by"
#: https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_TaskOverride.html
LONGEST_OVERRIDES = 8192
#: https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Tag.html
_LONGEST_TAG = 256
_NOT_IN_A_TAG = re.compile(r"[^\w +\-=.:/@]", re.ASCII)
_LONGEST_REASON = 255
#: All services share a network. This one every stage has.
_IN_THE_NETWORK_OF = TOPOLOGY.services[0].name


class OneOffFailed(RuntimeError):
    """The task was not started, or nothing is known of it. The message says what to do."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """One task of ECS, and where its lines go."""

    cluster: str
    id: str
    container: str
    log_group: str

    @property
    def log_stream(self) -> str:
        """As ECS's log driver for CloudWatch names it."""
        return f"{self.container}/{self.container}/{self.id}"


def start(policy: OneOffPolicy, arguments: Sequence[str], *, prefix: str, client: Callable[[str], Any], by: str) -> Task:
    """Have ECS run the one-off with these arguments. Raises :class:`OneOffFailed`."""
    ecs, cluster = client("ecs"), cluster_name(prefix)
    overrides = {"containerOverrides": [{"name": policy.name, "command": [*policy.command, *arguments]}]}
    if (length := len(json.dumps(overrides))) > LONGEST_OVERRIDES:
        raise OneOffFailed(
            f"The command is too long: ECS takes {LONGEST_OVERRIDES:,} characters with what is around them, it has {length:,}."
        )
    with _translated(prefix):
        found = ecs.describe_services(cluster=cluster, services=[service_name(prefix, _IN_THE_NETWORK_OF)])["services"]
        if not found or found[0]["status"] != "ACTIVE":
            raise OneOffFailed(_no_stage(prefix))
        answer = ecs.run_task(
            cluster=cluster,
            # Without a revision: the latest, which is that of the last deployment that went well.
            taskDefinition=service_name(prefix, policy.name),
            networkConfiguration=found[0]["networkConfiguration"],
            capacityProviderStrategy=[{"capacityProvider": "FARGATE", "weight": 1}],
            overrides=overrides,
            startedBy=STARTED_BY,
            tags=[{"key": BY, "value": _NOT_IN_A_TAG.sub("_", by)[:_LONGEST_TAG]}],
        )
    if answer.get("failures") or not answer["tasks"]:
        reasons = ", ".join(failure.get("reason", "no reason") for failure in answer.get("failures", ())) or "no reason"
        raise OneOffFailed(f"ECS did not start the task: {reasons}. Try again; if it stays so, look at the cluster's capacity.")
    return task_of(policy, answer["tasks"][0]["taskArn"].rpartition("/")[2], prefix=prefix)


def task_of(policy: OneOffPolicy, task_id: str, *, prefix: str) -> Task:
    """A task of this one-off that was started before."""
    return Task(cluster=cluster_name(prefix), id=task_id, container=policy.name, log_group=log_group_name(prefix, policy.name))


def stop(task: Task, *, client: Callable[[str], Any], reason: str) -> None:
    """Have ECS end it: a SIGTERM, and a SIGKILL when its time to stop is over."""
    client("ecs").stop_task(cluster=task.cluster, task=task.id, reason=reason[:_LONGEST_REASON])


@contextmanager
def _translated(prefix: str) -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code == "ClusterNotFoundException":
            raise OneOffFailed(_no_stage(prefix)) from error
        if code in {"ClientException", "InvalidParameterException"}:
            raise OneOffFailed(f"ECS refuses the task: {error}. If it has no such definition: scripts/deploy brings it.") from error
        raise


def _no_stage(prefix: str) -> str:
    return f"No services run in the cluster {cluster_name(prefix)}. Is {prefix} deployed, in this region and account? See --name-prefix."
