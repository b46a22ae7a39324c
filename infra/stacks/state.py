"""What outlives a process besides the database: tables and buckets."""

from aws_cdk import RemovalPolicy, Stack
from constructs import Construct

from app.topology import Topology
from infra.constructs import PrivateBucket, StateTable
from infra.stages import Stage


class StateStack(Stack):
    def __init__(self, scope: Construct, *, topology: Topology, stage: Stage) -> None:
        name = f"{stage.name_prefix}-state"
        super().__init__(scope, name, stack_name=name, description="Tables and buckets.", termination_protection=stage.keeps_data)
        removal = RemovalPolicy.RETAIN if stage.keeps_data else RemovalPolicy.DESTROY
        for table in topology.tables:
            StateTable(
                self,
                policy=table,
                name_prefix=stage.name_prefix,
                removal=removal,
                is_protected=stage.keeps_data,
                has_point_in_time_recovery=stage.has_point_in_time_recovery,
            )
        for bucket in topology.buckets:
            PrivateBucket(self, policy=bucket, name_prefix=stage.name_prefix, removal=removal)
