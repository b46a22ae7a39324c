"""What follows a new password of the database: every service starts anew with it."""

from collections.abc import Sequence

from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from infra.constructs.small_function import SmallFunction
from infra.deployment import Deployment


class PasswordChange(Construct):
    """Limit: between the change and the new start, some minutes, no new connection is made. Jobs wait, those under way come again."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        secret: secretsmanager.ISecret,
        services: Sequence[ecs.FargateService],
        deployment: Deployment,
    ) -> None:
        super().__init__(scope, construct_id)
        restart = SmallFunction(
            self,
            "Restart",
            purpose="Starts services anew when the database's password has changed.",
            handler="restart.restart",
            stage=deployment.stage,
            environment={
                "CLUSTER": deployment.cluster.cluster_name,
                "SERVICES": ",".join(service.service_name for service in services),
            },
        )
        restart.role.add_to_principal_policy(
            iam.PolicyStatement(
                sid="StartServicesAnew",
                actions=["ecs:UpdateService"],
                resources=[service.service_arn for service in services],
            )
        )
        # https://docs.aws.amazon.com/secretsmanager/latest/userguide/monitoring-eventbridge.html
        events.Rule(
            self,
            "Rule",
            description="The database's password has changed.",
            event_pattern=events.EventPattern(
                source=["aws.secretsmanager"],
                detail_type=["AWS Service Event via CloudTrail"],
                detail={"eventName": ["RotationSucceeded"], "additionalEventData": {"SecretId": [secret.secret_arn]}},
            ),
            targets=[targets.LambdaFunction(restart.function)],
        )
