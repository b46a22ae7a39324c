"""Fargate's part, by hand: the processes that the deployed task definitions describe, on this machine.

What the task definition says is taken: command, variables, secrets (read with the execution role), task role, and of what runs once the log group.
What only exists on this machine is put in its place, each with its reason. Images, networks, volumes and health checks of containers are not.
"""

import json
import sys
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.topology.naming import service_name
from scripts.cloud.one_off import STARTED_BY
from scripts.laptop.environment import bare_environment
from scripts.laptop.session import Child, Session, SessionFailed
from scripts.rehearsal.emulated_aws import EmulatedAws
from scripts.rehearsal.roles import Agent

#: The made-up credentials of a laptop: a container has none but those of its role.
_NOT_IN_A_CONTAINER = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
#: Who asks ECS to run something once.
_STARTED_BY = ("migration", STARTED_BY)
#: https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html
_EVENTS_AT_ONCE = 1000


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
    log_group: str
    log_prefix: str


class Fargate:
    """Of one deployment, whose prefix is the cluster's name. ``instead``: what stands in the way of a laptop, for every container."""

    def __init__(self, session: Session, aws: EmulatedAws, *, cluster: str, instead: Mapping[str, Instead], repository: Path) -> None:
        self._session = session
        self._aws = aws
        self._cluster = cluster
        self._instead = instead
        self._repository = repository
        self._agent: Agent | None = None
        self._one_offs: dict[str, tuple[Container, Child]] = {}
        self.ended: dict[str, list[int]] = defaultdict(list)
        """Exit codes of the tasks that ran once, by the name of their container."""
        self._over: set[str] = set()

    def containers(self) -> dict[str, Container]:
        """Of every service of the cluster, by the container's name. Secrets are read as ECS reads them."""
        ecs = self._aws.client("ecs")
        arns = [arn for page in ecs.get_paginator("list_services").paginate(cluster=self._cluster) for arn in page["serviceArns"]]
        definitions = [ecs.describe_services(cluster=self._cluster, services=[arn])["services"][0]["taskDefinition"] for arn in arns]
        found = [self._container(definition) for definition in definitions]
        return {container.name: container for container in found}

    def one_off(self, name: str) -> Container:
        """Of a task that runs once, and has no service."""
        return self._container(service_name(self._cluster, name))

    def environment(self, container: Container, agent: Agent) -> dict[str, str]:
        """Everything that the process gets."""
        return self._variables(container) | agent.variables(container.name)

    def use(self, agent: Agent) -> None:
        """From now on what runs once has a role, too. Before that it has none: a migration asks nothing of AWS, and would fail if it did."""
        self._agent = agent

    def run_one_offs(self) -> None:
        """Start the tasks that somebody has asked ECS to run, end those that somebody has stopped, and report the ends of those that have ended.

        To be called again and again.
        """
        ecs = self._aws.client("ecs")
        if not self._has_cluster(ecs):
            return
        # The copies of services, which the emulator notes and does not run either, were started by nobody of these.
        wanted = {arn for started_by in _STARTED_BY for arn in ecs.list_tasks(cluster=self._cluster, startedBy=started_by)["taskArns"]}
        for arn in wanted - self._one_offs.keys() - self._over:
            self._one_offs[arn] = self._start_one_off(ecs.describe_tasks(cluster=self._cluster, tasks=[arn])["tasks"][0])
        for arn, (container, child) in list(self._one_offs.items()):
            if child.exit_status is not None:
                self._report(ecs, arn, container, child)
            elif arn not in wanted:
                child.end()

    def _has_cluster(self, ecs: Any) -> bool:
        return bool(ecs.list_clusters()["clusterArns"])

    def _report(self, ecs: Any, arn: str, container: Container, child: Child) -> None:
        del self._one_offs[arn]
        self._over.add(arn)
        self.ended[container.name].append(child.exit_status or 0)
        self._session.forget(child)
        ecs.stop_task(cluster=self._cluster, task=arn, reason=f"exit code {child.exit_status}")
        # After its end, as CloudWatch is late.
        self._deliver(container, arn.rpartition("/")[2], child.log)

    def _deliver(self, container: Container, task_id: str, log: Path) -> None:
        """What ECS's log driver does with the lines: empty ones are no events. Not with the execution role: the emulator has another ARN for a group."""
        logs = self._aws.client("logs")
        place = {"logGroupName": container.log_group, "logStreamName": f"{container.log_prefix}/{container.name}/{task_id}"}
        logs.create_log_stream(**place)
        lines = [line for line in log.read_text().splitlines() if line]
        now = int(time.time() * 1000)
        for start in range(0, len(lines), _EVENTS_AT_ONCE):
            some = [{"timestamp": now, "message": line} for line in lines[start : start + _EVENTS_AT_ONCE]]
            logs.put_log_events(**place, logEvents=some)

    def _start_one_off(self, task: dict[str, Any]) -> tuple[Container, Child]:
        container = self._container(task["taskDefinitionArn"])
        overrides = task.get("overrides", {}).get("containerOverrides", ())
        program, *arguments = next((one["command"] for one in overrides if one.get("command")), container.command)
        path = Path(sys.prefix) / "bin" / program
        if not path.exists():
            raise SessionFailed(f"{container.name} wants the program {program!r}, which is not in {path.parent}.")
        environment = self.environment(container, self._agent) if self._agent else self._variables(container)
        name = f"{container.name}-{task['taskArn'].rpartition('/')[2]}"
        return container, self._session.start(name, [str(path), *arguments], environment, self._repository)

    def _variables(self, container: Container) -> dict[str, str]:
        bare = {name: value for name, value in bare_environment().items() if name not in _NOT_IN_A_CONTAINER}
        return bare | dict(container.variables) | {name: instead.value for name, instead in self._instead.items()}

    def _container(self, definition: str) -> Container:
        described = self._aws.client("ecs").describe_task_definition(taskDefinition=definition)["taskDefinition"]
        (container,) = described["containerDefinitions"]
        execution_role = described["executionRoleArn"]
        variables = {variable["name"]: variable["value"] for variable in container.get("environment", ())}
        options = container["logConfiguration"]["options"]
        return Container(
            name=container["name"],
            command=tuple(container["command"]),
            variables=variables | self._secrets(container.get("secrets", ()), execution_role),
            task_role=described["taskRoleArn"],
            log_group=options["awslogs-group"],
            log_prefix=options["awslogs-stream-prefix"],
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
