"""Fargate's part, by hand: the processes that the deployed task definitions describe, on this machine.

What the task definition says is taken: command, variables, secrets (read with the execution role), task role. What only exists on this
machine is put in its place, each with its reason. Images, networks, volumes and health checks of containers are not.
"""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.cloud.redrive import STARTED_BY
from scripts.laptop.environment import bare_environment
from scripts.laptop.session import Child, Session, SessionFailed
from scripts.rehearsal.emulated_aws import EmulatedAws
from scripts.rehearsal.roles import Agent

#: The made-up credentials of a laptop: a container has none but those of its role.
_NOT_IN_A_CONTAINER = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
#: Who asks ECS to run something once.
_STARTED_BY = ("migration", STARTED_BY)


@dataclass(frozen=True, kw_only=True, slots=True)
class Instead:
    """A variable that has another value here than in the task definition."""

    value: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Container:
    """The one container of a task definition."""

    name: str
    command: tuple[str, ...]
    variables: Mapping[str, str]
    task_role: str
    execution_role: str


class Fargate:
    """Of one deployment. ``instead``: what stands in the way of a laptop, for every container."""

    def __init__(self, session: Session, aws: EmulatedAws, *, cluster: str, instead: Mapping[str, Instead], repository: Path) -> None:
        self._session = session
        self._aws = aws
        self._cluster = cluster
        self._instead = instead
        self._repository = repository
        self._agent: Agent | None = None
        self._one_offs: dict[str, Child] = {}
        self.ended: dict[str, int] = {}
        """Exit codes of the tasks that ran once, by the name of their process."""

    def containers(self) -> dict[str, Container]:
        """Of every service of the cluster, by the container's name. Secrets are read as ECS reads them."""
        ecs = self._aws.client("ecs")
        arns = [arn for page in ecs.get_paginator("list_services").paginate(cluster=self._cluster) for arn in page["serviceArns"]]
        definitions = [ecs.describe_services(cluster=self._cluster, services=[arn])["services"][0]["taskDefinition"] for arn in arns]
        found = [self._container(definition) for definition in definitions]
        return {container.name: container for container in found}

    def environment(self, container: Container, agent: Agent) -> dict[str, str]:
        """Everything that the process gets."""
        return self._variables(container) | agent.variables(container.name)

    def use(self, agent: Agent) -> None:
        """From now on what runs once has a role, too. Before that it has none: a migration asks nothing of AWS, and would fail if it did."""
        self._agent = agent

    def run_one_offs(self) -> None:
        """Start the tasks that somebody has asked ECS to run, and report the ends of those that have ended. To be called again and again."""
        ecs = self._aws.client("ecs")
        # The copies of services, which the emulator notes and does not run either, were started by nobody of these.
        for started_by in _STARTED_BY if ecs.list_clusters()["clusterArns"] else ():
            for arn in ecs.list_tasks(cluster=self._cluster, startedBy=started_by)["taskArns"]:
                if arn not in self._one_offs:
                    self._one_offs[arn] = self._start_one_off(ecs.describe_tasks(cluster=self._cluster, tasks=[arn])["tasks"][0])
        for arn, child in list(self._one_offs.items()):
            if child.exit_status is not None and child.name not in self.ended:
                self.ended[child.name] = child.exit_status
                self._session.forget(child)
                ecs.stop_task(cluster=self._cluster, task=arn, reason=f"exit code {child.exit_status}")

    def _start_one_off(self, task: dict[str, Any]) -> Child:
        container = self._container(task["taskDefinitionArn"])
        overrides = task.get("overrides", {}).get("containerOverrides", ())
        program, *arguments = next((one["command"] for one in overrides if one.get("command")), container.command)
        path = Path(sys.prefix) / "bin" / program
        if not path.exists():
            raise SessionFailed(f"{container.name} wants the program {program!r}, which is not in {path.parent}.")
        environment = self.environment(container, self._agent) if self._agent else self._variables(container)
        return self._session.start(f"{container.name}-once", [str(path), *arguments], environment, self._repository)

    def _variables(self, container: Container) -> dict[str, str]:
        bare = {name: value for name, value in bare_environment().items() if name not in _NOT_IN_A_CONTAINER}
        return bare | dict(container.variables) | {name: instead.value for name, instead in self._instead.items()}

    def _container(self, definition: str) -> Container:
        described = self._aws.client("ecs").describe_task_definition(taskDefinition=definition)["taskDefinition"]
        (container,) = described["containerDefinitions"]
        execution_role = described["executionRoleArn"]
        variables = {variable["name"]: variable["value"] for variable in container.get("environment", ())}
        return Container(
            name=container["name"],
            command=tuple(container["command"]),
            variables=variables | self._secrets(container.get("secrets", ()), execution_role),
            task_role=described["taskRoleArn"],
            execution_role=execution_role,
        )

    def _secrets(self, wanted: Any, execution_role: str) -> dict[str, str]:
        credentials = self._aws.assume(execution_role, "ecs-agent")
        secrets = self._aws.client("secretsmanager", credentials)
        return {secret["name"]: self._secret(secrets, secret["valueFrom"]) for secret in wanted}

    def _secret(self, secrets: Any, value_from: str) -> str:
        """The ARN of a secret, and after three more colons the key of a JSON object, the version's stage and its id."""
        parts = value_from.split(":")
        value: str = secrets.get_secret_value(SecretId=":".join(parts[:7]))["SecretString"]
        key = parts[7] if len(parts) > 7 else ""  # noqa: PLR2004 — the parts of an ARN
        return str(json.loads(value)[key]) if key else value
