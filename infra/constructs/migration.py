"""The database's schema as a resource of the stack: it is brought to the release before any service runs it."""

from aws_cdk import CustomResource, Duration, custom_resources
from aws_cdk import aws_iam as iam
from constructs import Construct

from app.topology import OneOffPolicy
from app.topology.naming import log_group_name
from infra.constructs.container_task import ContainerTask
from infra.constructs.lines import Lines
from infra.constructs.small_function import SmallFunction
from infra.deployment import Deployment


class Migration(Construct):
    """What depends on ``resource`` waits for exit code 0. A release that goes back runs its own migrations, which find nothing to do."""

    def __init__(self, scope: Construct, *, policy: OneOffPolicy, deployment: Deployment, release: str) -> None:
        super().__init__(scope, policy.name)
        stage, stack = deployment.stage, deployment.stack
        task = ContainerTask(self, "Task", policy=policy, deployment=deployment)
        start = SmallFunction(self, "Start", purpose="Starts the migration.", handler="migrate.start", stage=stage)
        is_over = SmallFunction(
            self,
            "IsOver",
            purpose="Says whether the migration is over.",
            handler="migrate.is_over",
            stage=stage,
            environment={"LOG_GROUP": log_group_name(stage.name_prefix, policy.name)},
        )
        # Of every revision: a role that learns the new one in the same moment may be asked too early.
        family = stack.format_arn(service="ecs", resource="task-definition", resource_name=f"{task.definition.family}:*")
        in_cluster = {"ArnEquals": {"ecs:cluster": deployment.cluster.cluster_arn}}
        start.role.add_to_principal_policy(
            iam.PolicyStatement(sid="StartTheMigration", actions=["ecs:RunTask"], resources=[family], conditions=in_cluster)
        )
        start.role.add_to_principal_policy(
            iam.PolicyStatement(
                sid="GiveItItsRoles",
                actions=["iam:PassRole"],
                resources=[task.definition.task_role.role_arn, task.definition.obtain_execution_role().role_arn],
                conditions={"StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}},
            )
        )
        tasks = stack.format_arn(service="ecs", resource="task", resource_name=f"{deployment.cluster.cluster_name}/*")
        is_over.role.add_to_principal_policy(
            iam.PolicyStatement(sid="LookAtTheMigration", actions=["ecs:DescribeTasks"], resources=[tasks], conditions=in_cluster)
        )
        lines = Lines(self, "Lines", name=log_group_name(stage.name_prefix, "migrate-framework"), stage=stage)
        provider = custom_resources.Provider(
            self,
            "Provider",
            on_event_handler=start.function,
            is_complete_handler=is_over.function,
            query_interval=Duration.seconds(policy.asked_every.total_seconds()),
            total_timeout=Duration.seconds(policy.time_limit.total_seconds()),
            log_group=lines.group,
        )
        self.resource = CustomResource(
            self,
            "Schema",
            resource_type="Custom::DatabaseSchema",
            service_token=provider.service_token,
            properties={
                "Cluster": deployment.cluster.cluster_name,
                "TaskDefinition": task.definition.task_definition_arn,
                "Subnets": deployment.cluster.vpc.select_subnets(subnet_type=deployment.subnets.subnet_type).subnet_ids,
                "SecurityGroup": deployment.security_group.security_group_id,
                # Changes with the code, and so does what this resource is.
                "Release": release,
            },
        )
        # AWS works in parallel: the task reads its secrets by a role whose policy may come after the task's definition.
        self.resource.node.add_dependency(start.role, is_over.role, task.definition.obtain_execution_role())
