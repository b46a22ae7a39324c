"""Django's command line for somebody who reads what it says in CloudWatch: ``python -m app.operate dead_letters groups``.

``scripts/operate`` starts it as a task of ECS, and puts its lines together again.
"""

import sys

from app.engine.logs.transcript import transcribe
from app.topology.one_offs import OPERATOR


def main() -> int:
    command = [sys.executable, "-m", "app.manage", *sys.argv[1:]]
    return transcribe(command, sys.stdout.buffer, time_limit=OPERATOR.time_limit, grace=OPERATOR.stop_timeout)


if __name__ == "__main__":
    sys.exit(main())
