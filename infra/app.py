"""Writes the CloudFormation of one stage: ``python -m infra.app``. Needs neither an AWS account nor a network.

The stacks do not depend on each other: they meet by physical names, which ``app.topology.naming`` makes.
"""

import json
from pathlib import Path
from typing import Any

from aws_cdk import App, Tags

from app.topology import TOPOLOGY, Topology
from infra.stacks.messaging import MessagingStack
from infra.stacks.observability import ObservabilityStack
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
    MessagingStack(app, topology=topology, stage=stage)
    StateStack(app, topology=topology, stage=stage)
    ObservabilityStack(app, topology=topology, stage=stage)
    Tags.of(app).add("Application", "millrace")
    Tags.of(app).add("Stage", stage.name)


def main() -> None:
    app = new_app()
    add_stacks(app, topology=TOPOLOGY, stage=chosen_stage(app.node.try_get_context))
    app.synth()


if __name__ == "__main__":
    main()
