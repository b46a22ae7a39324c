"""Where lines are written to, and for how long."""

from aws_cdk import RemovalPolicy
from aws_cdk import aws_logs as logs
from constructs import Construct

from infra.stages import Stage


class Lines(Construct):
    """A log group of its own name: one that AWS makes by itself keeps everything for ever."""

    def __init__(self, scope: Construct, construct_id: str, *, name: str, stage: Stage) -> None:
        super().__init__(scope, construct_id)
        self.group = logs.LogGroup(
            self,
            "Group",
            log_group_name=name,
            removal_policy=RemovalPolicy.RETAIN if stage.keeps_data else RemovalPolicy.DESTROY,
        )
        # The construct knows days by name only.
        group = self.group.node.default_child
        assert isinstance(group, logs.CfnLogGroup)  # noqa: S101 — for the type checker
        group.retention_in_days = stage.log_retention.days
