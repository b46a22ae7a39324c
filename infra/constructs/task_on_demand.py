"""A task that nobody keeps running: it costs nothing until somebody runs it."""

from constructs import Construct

from app.topology import OneOffPolicy
from infra.constructs.container_task import ContainerTask
from infra.deployment import Deployment


class TaskOnDemand(Construct):
    """A definition and a role. Whoever runs it chooses the network, which is that of the services."""

    def __init__(self, scope: Construct, *, policy: OneOffPolicy, deployment: Deployment) -> None:
        super().__init__(scope, policy.name)
        self.task = ContainerTask(self, "Task", policy=policy, deployment=deployment)
