"""Every queue of the topology, with its dead letters."""

from aws_cdk import RemovalPolicy, Stack
from constructs import Construct

from app.topology import Topology
from infra.constructs import TaskQueue
from infra.stages import Stage


class MessagingStack(Stack):
    def __init__(self, scope: Construct, *, topology: Topology, stage: Stage) -> None:
        name = f"{stage.name_prefix}-messaging"
        super().__init__(
            scope, name, stack_name=name, description="Queues and their dead letters.", termination_protection=stage.keeps_data
        )
        removal = RemovalPolicy.RETAIN if stage.keeps_data else RemovalPolicy.DESTROY
        for policy in topology.queues:
            TaskQueue(self, policy=policy, name_prefix=stage.name_prefix, removal=removal)
