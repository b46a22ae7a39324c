"""Writes the CloudFormation of one stage: ``python -m infra.app``. Needs neither an AWS account nor a network.

Queues, tables, buckets and alarms depend on no other stack: they are met by physical names, which ``app.topology.naming`` makes. Network,
database, secrets and services are made in this order, and refer to each other.
"""

import json
from pathlib import Path
from typing import Any

from aws_cdk import App, Tags

from app.topology import TOPOLOGY, Topology
from infra.stacks.compute import ComputeStack
from infra.stacks.database import DatabaseStack
from infra.stacks.edge import EdgeStack
from infra.stacks.messaging import MessagingStack
from infra.stacks.network import NetworkStack
from infra.stacks.observability import ObservabilityStack
from infra.stacks.secrets import SecretsStack
from infra.stacks.state import StateStack
from infra.stages import Stage, chosen_stage

CDK_JSON = Path(__file__).resolve().parents[1] / "cdk.json"


def declared_context() -> dict[str, Any]:
    """The context of cdk.json. The CDK's CLI passes it by itself; ``python -m infra.app`` and tests would go without."""
    context: dict[str, Any] = json.loads(CDK_JSON.read_text())["context"]
    return context


def new_app(outdir: Path | None = None) -> App:
    """An empty app with the repository's context. What the CLI passes in ``CDK_CONTEXT_JSON`` wins.

    Without ``outdir`` the templates go where ``CDK_OUTDIR`` says.
    """
    return App(context=declared_context(), outdir=str(outdir) if outdir else None, analytics_reporting=False)


def add_stacks(app: App, *, topology: Topology, stage: Stage) -> None:
    """Everything that a stage consists of."""
    messaging = MessagingStack(app, topology=topology, stage=stage)
    state = StateStack(app, topology=topology, stage=stage)
    network = NetworkStack(app, stage=stage)
    database = DatabaseStack(app, stage=stage, network=network)
    secrets = SecretsStack(app, topology=topology, stage=stage)
    compute = ComputeStack(app, topology=topology, stage=stage, network=network, database=database, secrets=secrets)
    # Nothing in it names a queue or a table, and nothing runs without them.
    for stack in (messaging, state):
        compute.add_stack_dependency(stack)
    if stage.has_firewall:
        EdgeStack(app, stage=stage, load_balancer_arn=compute.front.balancer.load_balancer_arn)
    ObservabilityStack(app, topology=topology, stage=stage, compute=compute)
    Tags.of(app).add("Application", "millrace")
    Tags.of(app).add("Stage", stage.name)


def main() -> None:
    app = new_app()
    add_stacks(app, topology=TOPOLOGY, stage=chosen_stage(app.node.try_get_context))
    app.synth()


if __name__ == "__main__":
    main()
