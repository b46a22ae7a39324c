"""``python -m app.config.probe``: the container's health check, for whichever service it runs. Exit code 0 or 1, and a line that says why."""

import sys

from app.config.environment import read_environment
from app.engine.health.probe import problem_of
from app.topology import TOPOLOGY


def main() -> int:
    environment = read_environment()
    service = TOPOLOGY.service(environment.service)
    problem = problem_of(service, address=environment.web_bind, pulse_directory=environment.pulse_directory)
    print(f"{service.name}: {problem or 'healthy'}")
    return 1 if problem else 0


if __name__ == "__main__":
    sys.exit(main())
