"""What runs: the image, every service of the topology, the migration before them, what people run once, and the load balancer in front."""

from aws_cdk import CfnOutput, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecr_assets as assets
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_elasticloadbalancingv2 as balancing
from constructs import Construct

from app.topology import HttpHealth, ServicePolicy, Topology
from app.topology.naming import cluster_name
from app.topology.one_offs import MIGRATE
from app.topology.variables import port_of
from infra.constructs.container_service import ContainerService
from infra.constructs.deficit_scaling import DeficitScaling
from infra.constructs.front import Front
from infra.constructs.migration import Migration
from infra.constructs.password_change import PasswordChange
from infra.constructs.task_on_demand import TaskOnDemand
from infra.deployment import REPOSITORY, Deployment
from infra.environment import ContainerEnvironment
from infra.stacks.database import DatabaseStack
from infra.stacks.network import NetworkStack
from infra.stacks.secrets import DATABASE_PASSWORD, SecretsStack
from infra.stages import Stage


class ComputeStack(Stack):
    """Holds no data: it can be deleted and made anew."""

    def __init__(
        self,
        scope: Construct,
        *,
        topology: Topology,
        stage: Stage,
        network: NetworkStack,
        database: DatabaseStack,
        secrets: SecretsStack,
    ) -> None:
        name = f"{stage.name_prefix}-compute"
        super().__init__(scope, name, stack_name=name, description="Services.", termination_protection=stage.keeps_data)
        self._stage = stage
        self.front = Front(self, "Front", stage=stage, vpc=network.vpc, security_group=_immutable(self, "FrontGroup", network.front))
        image = assets.DockerImageAsset(self, "Image", directory=str(REPOSITORY), platform=assets.Platform.LINUX_ARM64)
        release = stage.release or image.asset_hash
        environment = self._environment(database, secrets, release).checked(topology.variables)
        deployment = Deployment(
            stack=self,
            stage=stage,
            cluster=self._cluster(network.vpc),
            security_group=_immutable(self, "TasksGroup", network.tasks),
            subnets=ec2.SubnetSelection(subnet_type=ec2.SubnetType.PRIVATE_WITH_EGRESS),
            image=ecs.ContainerImage.from_docker_image_asset(image),
            environment=environment,
        )
        migration = Migration(self, policy=topology.one_off(MIGRATE.name), deployment=deployment, release=release)
        # Its capacity providers are a resource of their own, which nobody names and everybody asks for.
        migration.resource.node.add_dependency(deployment.cluster)
        for one_off in topology.one_offs:
            if not one_off.holds_up_deployment:
                TaskOnDemand(self, policy=one_off, deployment=deployment)
        self.services: dict[str, ecs.FargateService] = {}
        self.target_group: balancing.ApplicationTargetGroup | None = None
        for policy in topology.services:
            self.services[policy.name] = self._service(policy, deployment, migration)
        PasswordChange(self, "PasswordChange", secret=database.password, services=list(self.services.values()), deployment=deployment)
        CfnOutput(self, "ClusterName", value=deployment.cluster.cluster_name, description="Where the services are.")
        CfnOutput(self, "Release", value=release, description="What they run.")

    def _cluster(self, vpc: ec2.IVpc) -> ecs.Cluster:
        insights = ecs.ContainerInsights
        return ecs.Cluster(
            self,
            "Cluster",
            cluster_name=cluster_name(self._stage.name_prefix),
            vpc=vpc,
            # Never none: how many tasks are wanted is what scaling falls back upon.
            container_insights_v2=insights.ENHANCED if self._stage.has_enhanced_insights else insights.ENABLED,
            enable_fargate_capacity_providers=True,
            execute_command_configuration=ecs.ExecuteCommandConfiguration(logging=ecs.ExecuteCommandLogging.NONE),
        )

    def _environment(self, database: DatabaseStack, secrets: SecretsStack, release: str) -> ContainerEnvironment[ecs.Secret]:
        stage = self._stage
        return ContainerEnvironment(
            values={
                "NAME_PREFIX": stage.name_prefix,
                "RELEASE": release,
                "DATABASE_HOST": database.cluster.cluster_endpoint.hostname,
                "DATABASE_NAME": database.name,
                "DATABASE_USER": database.user,
                "AWS_REGION": self.region,
                "AWS_ACCOUNT_ID": self.account,
                "PUBLIC_URL": self.front.url,
                "EMAIL_FROM": stage.email_from,
            },
            secrets={
                **{variable: ecs.Secret.from_secrets_manager(secret) for variable, secret in secrets.secrets.items()},
                DATABASE_PASSWORD: ecs.Secret.from_secrets_manager(database.password, "password"),
            },
        )

    def _service(self, policy: ServicePolicy, deployment: Deployment, migration: Migration) -> ecs.FargateService:
        is_web = isinstance(policy.health, HttpHealth)
        construct = ContainerService(self, policy=policy, deployment=deployment, copies=self._stage.web_copies if is_web else policy.copies)
        if is_web:
            construct.task.container.add_port_mappings(ecs.PortMapping(container_port=port_of("WEB_BIND")))
            construct.serve(policy)
            self.target_group = self.front.add_target(construct.service, policy)
        # No service gets a release whose schema is not there; its tasks' definition is a part of it.
        construct.service.node.add_dependency(migration.resource, deployment.cluster)
        if policy.scaling is not None:
            DeficitScaling(self, service=construct.service, policy=policy, scaling=policy.scaling, name_prefix=deployment.stage.name_prefix)
        return construct.service


def _immutable(scope: Construct, construct_id: str, group: ec2.SecurityGroup) -> ec2.ISecurityGroup:
    """All that it lets through stands in the network's stack; nothing here may add to it."""
    return ec2.SecurityGroup.from_security_group_id(scope, construct_id, group.security_group_id, mutable=False)
