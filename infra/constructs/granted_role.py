"""The role of a process: what its policy grants, and nothing else."""

from collections.abc import Iterable

from aws_cdk import Stack
from aws_cdk import aws_iam as iam
from constructs import Construct

from app.topology.arns import Place, conditions_of
from app.topology.grants import Grant


class GrantedRole(Construct):
    """Assumed by tasks of this account only. One statement a grant, so that a review reads why it is there."""

    def __init__(self, scope: Construct, construct_id: str, *, purpose: str, grants: Iterable[Grant], place: Place) -> None:
        super().__init__(scope, construct_id)
        self.role = iam.Role(
            self,
            "Role",
            description=purpose,
            # Somebody else's task may not make ECS use it for them.
            assumed_by=iam.ServicePrincipal(
                "ecs-tasks.amazonaws.com",
                conditions={
                    "StringEquals": {"aws:SourceAccount": place.account},
                    "ArnLike": {"aws:SourceArn": place.arn("ecs", "*")},
                },
            ),
        )
        for grant in grants:
            self.role.add_to_principal_policy(
                iam.PolicyStatement(
                    sid=grant.sid,
                    actions=list(grant.actions),
                    resources=list(dict.fromkeys(place.arn_of(resource) for resource in grant.on)),
                    conditions=conditions_of(grant),
                )
            )


def place_of(stack: Stack, *, name_prefix: str, mail_domain: str) -> Place:
    """Where CloudFormation deploys this stack: known to it, and not to us."""
    return Place(partition=stack.partition, region=stack.region, account=stack.account, name_prefix=name_prefix, mail_domain=mail_domain)
