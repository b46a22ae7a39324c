"""Every secret of the application but the database's, which RDS makes."""

from aws_cdk import RemovalPolicy, Stack
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from app.topology import Topology
from infra.constructs import ApplicationSecret
from infra.stages import Stage

DATABASE_PASSWORD = "DATABASE_PASSWORD"  # noqa: S105 — the name of a variable


class SecretsStack(Stack):
    def __init__(self, scope: Construct, *, topology: Topology, stage: Stage) -> None:
        name = f"{stage.name_prefix}-secrets"
        super().__init__(scope, name, stack_name=name, description="Secrets.", termination_protection=stage.keeps_data)
        first_values = {"EMAIL_URL": f"ses://{self.region}"}
        self.secrets: dict[str, secretsmanager.ISecret] = {
            variable.name: ApplicationSecret(
                self,
                policy=variable,
                name_prefix=stage.name_prefix,
                removal=RemovalPolicy.RETAIN if stage.keeps_data else RemovalPolicy.DESTROY,
                first_value=first_values.get(variable.name),
            ).secret
            for variable in topology.variables
            if variable.secret and variable.name != DATABASE_PASSWORD
        }
