"""``scripts/redrive``: the dead letters of a deployed queue go back to it, by the application's own desk.

The desk and not SQS's own redrive: each job is sent back once, however often the order is given, with a record of who gave it.
"""

import argparse
import getpass
import sys
from collections.abc import Sequence
from datetime import timedelta
from socket import gethostname

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from app.topology import TOPOLOGY
from infra.stages import STAGES
from scripts.cloud.one_off import OneOffFailed, run_like

#: The job that an order given to the console is.
_ORDERS = "engine.work_off_dead_letters"
#: ECS takes 36 characters.
STARTED_BY = "scripts/redrive"


def main(arguments: Sequence[str] | None = None, *, look_every: timedelta = timedelta(seconds=2)) -> int:
    parser = argparse.ArgumentParser(
        prog="scripts/redrive",
        description="Send the dead letters of a deployed queue back to it.",
        epilog="More conditions, such as --fingerprint, --since or --rate, are those of: scripts/manage dead_letters redrive --help",
    )
    parser.add_argument("stage", choices=sorted(STAGES))
    parser.add_argument("queue", choices=[queue.name for queue in TOPOLOGY.queues])
    parser.add_argument("--name-prefix", help="if the stage was deployed with another one than its own")
    options, conditions = parser.parse_known_args(arguments)
    command = ["python", "-m", "app.manage", "dead_letters", "redrive", "--queue", options.queue]
    command += ["--by", f"{getpass.getuser()}@{gethostname()}", *conditions]
    try:
        ended = run_like(
            _desk(),
            command,
            prefix=options.name_prefix or STAGES[options.stage].name_prefix,
            client=boto3.client,
            started_by=STARTED_BY,
            tell=print,
            look_every=look_every,
        )
    except (OneOffFailed, ClientError, BotoCoreError) as error:
        print(f"scripts/redrive: {error}", file=sys.stderr)
        return 2
    for line in ended.lines:
        print(line)
    if ended.exit_code is None:
        print(f"scripts/redrive: the task never began: {ended.reason}", file=sys.stderr)
        return 2
    return ended.exit_code


def _desk() -> str:
    """The service that works off orders about dead letters, and may therefore do with them what is needed."""
    queue = TOPOLOGY.queue_for(_ORDERS)
    return next(service.name for service in TOPOLOGY.services if queue and queue.name in service.consumes)


if __name__ == "__main__":
    sys.exit(main())
