"""A task definition: one container of the image, with its role, its lines and its health check."""

from aws_cdk import Duration
from aws_cdk import aws_ecs as ecs
from constructs import Construct

from app.topology import OneOffPolicy, ServicePolicy
from app.topology.fargate import PROBE_INTERVAL, PROBE_RETRIES, PROBE_TIMEOUT, WRITABLE_DIRECTORIES
from app.topology.naming import log_group_name, service_name
from infra.constructs.granted_role import GrantedRole, place_of
from infra.constructs.lines import Lines
from infra.deployment import Deployment

#: The agent that opens a shell keeps its state here.
_WRITTEN_BY_EXEC = ("/var/lib/amazon", "/var/log/amazon")


class ContainerTask(Construct):
    """Not root, on a read-only root file system, with an init process that passes signals on and collects the dead."""

    def __init__(self, scope: Construct, construct_id: str, *, policy: ServicePolicy | OneOffPolicy, deployment: Deployment) -> None:
        super().__init__(scope, construct_id)
        stage = deployment.stage
        self.lines = Lines(self, "Lines", name=log_group_name(stage.name_prefix, policy.name), stage=stage)
        role = GrantedRole(
            self,
            "Task",
            purpose=f"{policy.name}: {policy.purpose}",
            grants=policy.grants,
            place=place_of(deployment.stack, name_prefix=stage.name_prefix, mail_domain=stage.mail_domain),
        ).role
        self.definition = ecs.FargateTaskDefinition(
            self,
            "Definition",
            family=service_name(stage.name_prefix, policy.name),
            cpu=policy.cpu_units,
            memory_limit_mib=policy.memory_mib,
            runtime_platform=ecs.RuntimePlatform(
                cpu_architecture=ecs.CpuArchitecture.ARM64, operating_system_family=ecs.OperatingSystemFamily.LINUX
            ),
            task_role=role,
        )
        self.container = self.definition.add_container(
            policy.name,
            container_name=policy.name,
            image=deployment.image,
            command=list(policy.command),
            environment={
                **deployment.environment.values,
                **(policy.variables if isinstance(policy, ServicePolicy) else {}),
                "SERVICE": policy.name,
            },
            secrets=dict(deployment.environment.secrets),
            readonly_root_filesystem=True,
            linux_parameters=ecs.LinuxParameters(self, "Linux", init_process_enabled=True),
            logging=ecs.LogDrivers.aws_logs(stream_prefix=policy.name, log_group=self.lines.group, mode=_mode(policy)),
            stop_timeout=Duration.seconds(policy.stop_timeout.total_seconds()),
            health_check=_health_check(policy) if isinstance(policy, ServicePolicy) else None,
        )
        self._mount((*WRITABLE_DIRECTORIES, *(_WRITTEN_BY_EXEC if stage.has_exec else ())))

    def _mount(self, directories: tuple[str, ...]) -> None:
        """Empty volumes of the task's own disk; those of the image begin with the owner that it gave them."""
        for directory in directories:
            name = directory.strip("/").replace("/", "-")
            self.definition.add_volume(name=name)
            self.container.add_mount_points(ecs.MountPoint(source_volume=name, container_path=directory, read_only=False))


def _mode(policy: ServicePolicy | OneOffPolicy) -> ecs.AwsLogDriverMode:
    """A CloudWatch that hangs may cost lines, never jobs; but for what runs for the sake of its lines."""
    if isinstance(policy, OneOffPolicy) and policy.keeps_every_line:
        return ecs.AwsLogDriverMode.BLOCKING
    return ecs.AwsLogDriverMode.NON_BLOCKING


def _health_check(policy: ServicePolicy) -> ecs.HealthCheck:
    """Asks the loop that does the work, by its pulse: a process that lives and is deaf is replaced."""
    return ecs.HealthCheck(
        command=["CMD", "python", "-m", "app.config.probe"],
        interval=Duration.seconds(PROBE_INTERVAL.total_seconds()),
        timeout=Duration.seconds(PROBE_TIMEOUT.total_seconds()),
        retries=PROBE_RETRIES,
        start_period=Duration.seconds(policy.start_period.total_seconds()),
    )
