"""PostgreSQL: Aurora Serverless v2, whose password nobody knows and RDS changes every week."""

from aws_cdk import CfnOutput, Duration, RemovalPolicy, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_kms as kms
from aws_cdk import aws_rds as rds
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from app.topology.naming import database_identifier
from app.topology.variables import default_of, port_of
from infra.constructs import Lines
from infra.stacks.network import NetworkStack
from infra.stages import Stage

_ENGINE = rds.DatabaseClusterEngine.aurora_postgres(version=rds.AuroraPostgresEngineVersion.VER_17_9)
#: What PostgreSQL itself writes: RDS chooses the name of the group.
_LINES = "postgresql"


class DatabaseStack(Stack):
    """Encrypted, TLS only, reached by tasks only. In prod it has a copy in another zone, and refuses to be deleted."""

    def __init__(self, scope: Construct, *, stage: Stage, network: NetworkStack) -> None:
        name = f"{stage.name_prefix}-database"
        super().__init__(scope, name, stack_name=name, description="PostgreSQL.", termination_protection=stage.keeps_data)
        identifier = database_identifier(stage.name_prefix)
        self.name, self.user = default_of("DATABASE_NAME"), default_of("DATABASE_USER")
        lines = Lines(self, "Lines", name=f"/aws/rds/cluster/{identifier}/{_LINES}", stage=stage)
        door = ec2.SecurityGroup(self, "Door", vpc=network.vpc, description="PostgreSQL: open to tasks.", allow_all_outbound=False)
        door.add_ingress_rule(network.tasks, ec2.Port.tcp(port_of("DATABASE_PORT")), "From tasks")
        removal = RemovalPolicy.RETAIN if stage.keeps_data else RemovalPolicy.DESTROY
        self.cluster = rds.DatabaseCluster(
            self,
            "Database",
            engine=_ENGINE,
            cluster_identifier=identifier,
            default_database_name=self.name,
            credentials=rds.Credentials.from_username(self.user),
            manage_master_user_password=True,
            vpc=network.vpc,
            vpc_subnets=ec2.SubnetSelection(subnet_type=ec2.SubnetType.PRIVATE_ISOLATED),
            security_groups=[door],
            port=port_of("DATABASE_PORT"),
            serverless_v2_min_capacity=stage.minimum_acu,
            serverless_v2_max_capacity=stage.maximum_acu,
            writer=rds.ClusterInstance.serverless_v2("Writer", instance_identifier=f"{identifier}-writer"),
            readers=[
                # As large as the writer at any moment: it takes its place.
                rds.ClusterInstance.serverless_v2(
                    f"Reader{number}", instance_identifier=f"{identifier}-reader-{number}", scale_with_writer=True
                )
                for number in range(stage.database_readers)
            ],
            parameter_group=rds.ParameterGroup(
                self, "Parameters", engine=_ENGINE, description="TLS only.", parameters={"rds.force_ssl": "1"}
            ),
            storage_encrypted=True,
            storage_encryption_key=self._key() if stage.has_own_key else None,
            backup=rds.BackupProps(retention=Duration.days(stage.backup_retention.days)),
            cloudwatch_logs_exports=[_LINES],
            copy_tags_to_snapshot=True,
            deletion_protection=stage.keeps_data,
            removal_policy=removal,
        )
        # RDS would make the group itself, to be kept for ever.
        self.cluster.node.add_dependency(lines)
        CfnOutput(self, "Host", value=self.cluster.cluster_endpoint.hostname, description="Where the writer listens.")

    @property
    def password(self) -> secretsmanager.ISecret:
        """Made and changed by RDS."""
        assert self.cluster.secret is not None  # noqa: S101 — for the type checker
        return self.cluster.secret

    def _key(self) -> kms.Key:
        """With it snapshots can be shared with another account, which AWS's own key does not allow. It outlives the stack, as they do."""
        return kms.Key(
            self, "Key", description="The database's storage and snapshots.", enable_key_rotation=True, removal_policy=RemovalPolicy.RETAIN
        )
