"""A service of ECS: so many copies of a task, replaced without losing any."""

from aws_cdk import Duration
from aws_cdk import aws_ecs as ecs
from constructs import Construct

from app.topology import ServicePolicy
from app.topology.fargate import ON_DEMAND_WEIGHT
from app.topology.naming import service_name
from infra.constructs.container_task import ContainerTask
from infra.deployment import Deployment

_ON_DEMAND, _SPOT = "FARGATE", "FARGATE_SPOT"


class ContainerService(Construct):
    """A deployment that does not get healthy is rolled back. ``copies`` is for a service that nothing scales.

    One that is scaled names no number: each deployment would set it back.
    """

    def __init__(self, scope: Construct, *, policy: ServicePolicy, deployment: Deployment, copies: int) -> None:
        super().__init__(scope, policy.name)
        fewest, most = policy.healthy_percent
        self.task = ContainerTask(self, "Task", policy=policy, deployment=deployment)
        self.service = ecs.FargateService(
            self,
            "Service",
            service_name=service_name(deployment.stage.name_prefix, policy.name),
            cluster=deployment.cluster,
            task_definition=self.task.definition,
            desired_count=copies if policy.scaling is None else None,
            capacity_provider_strategies=_strategies(policy),
            min_healthy_percent=fewest,
            max_healthy_percent=most,
            circuit_breaker=ecs.DeploymentCircuitBreaker(enable=True, rollback=True),
            # Moving a singleton to another zone would need a second one meanwhile.
            availability_zone_rebalancing=ecs.AvailabilityZoneRebalancing.DISABLED
            if policy.singleton
            else ecs.AvailabilityZoneRebalancing.ENABLED,
            security_groups=[deployment.security_group],
            vpc_subnets=deployment.subnets,
            assign_public_ip=False,
            enable_execute_command=deployment.stage.has_exec,
            enable_ecs_managed_tags=True,
            propagate_tags=ecs.PropagatedTagSource.SERVICE,
        )

    def serve(self, policy: ServicePolicy) -> None:
        """Give a copy behind the load balancer time to start before it is judged."""
        service = self.service.node.default_child
        assert isinstance(service, ecs.CfnService)  # noqa: S101 — for the type checker
        service.health_check_grace_period_seconds = Duration.seconds(policy.start_period.total_seconds()).to_seconds()


def _strategies(policy: ServicePolicy) -> list[ecs.CapacityProviderStrategy]:
    """The steady copies on demand. Of the others ``spot_weight`` are interruptible for each that is not."""
    on_demand = ecs.CapacityProviderStrategy(capacity_provider=_ON_DEMAND, base=policy.steady_copies, weight=ON_DEMAND_WEIGHT)
    if not policy.spot_weight:
        return [on_demand]
    return [on_demand, ecs.CapacityProviderStrategy(capacity_provider=_SPOT, weight=policy.spot_weight)]
