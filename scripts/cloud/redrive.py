"""``scripts/redrive``: the dead letters of a deployed queue go back to it, by the application's own desk.

The desk and not SQS's own redrive: each job is sent back once, however often the order is given, with a record of who gave it.
"""

import argparse
import sys
from collections.abc import Sequence

from app.topology import TOPOLOGY
from infra.stages import STAGES
from scripts.cloud.operate import Operation


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="scripts/redrive",
        description="Send the dead letters of a deployed queue back to it: scripts/operate STAGE dead_letters redrive --queue QUEUE.",
        epilog="More conditions, such as --fingerprint, --since or --rate, are those of: scripts/manage dead_letters redrive --help",
    )
    parser.add_argument("stage", choices=sorted(STAGES))
    parser.add_argument("queue", choices=[queue.name for queue in TOPOLOGY.queues])
    parser.add_argument("--name-prefix", help="if the stage was deployed with another one than its own")
    options, conditions = parser.parse_known_args(arguments)
    command = ["dead_letters", "redrive", "--queue", options.queue, *conditions]
    return Operation("scripts/redrive", options.stage, options.name_prefix).run(command)


if __name__ == "__main__":
    sys.exit(main())
