"""A function of ``infra/handlers``, with lines that are kept for as long as the stage says and a role of its own."""

from collections.abc import Mapping

from aws_cdk import Duration
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from app.topology.naming import log_group_name
from infra.constructs.lines import Lines
from infra.deployment import REPOSITORY
from infra.handlers import MEMORY_MIB, TIMEOUT
from infra.stages import Stage

_HANDLERS = REPOSITORY / "infra" / "handlers"


class SmallFunction(Construct):
    """May write its lines, and what is added to ``role``."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        purpose: str,
        handler: str,
        stage: Stage,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(scope, construct_id)
        lines = Lines(self, "Lines", name=log_group_name(stage.name_prefix, handler.replace(".", "-").replace("_", "-")), stage=stage)
        self.role = iam.Role(self, "Role", description=purpose, assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
        lines.group.grant_write(self.role)
        self.function = lambda_.Function(
            self,
            "Function",
            description=purpose,
            code=lambda_.Code.from_asset(str(_HANDLERS), exclude=["**/__pycache__", "**/*.pyc"]),
            handler=handler,
            runtime=lambda_.Runtime.PYTHON_3_14,
            architecture=lambda_.Architecture.ARM_64,
            memory_size=MEMORY_MIB,
            timeout=Duration.seconds(TIMEOUT.total_seconds()),
            role=self.role,
            log_group=lines.group,
            environment=dict(environment or {}),
        )
