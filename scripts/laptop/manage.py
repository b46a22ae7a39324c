"""Django's command line in the environment of this clone's running session: ``python -m scripts.laptop.manage check``.

Nothing is stored for it: ports, secrets and password stand in ``var/`` anyway, and go on in the environment, which only the same
user can read. Limit: without a session there is no database, so there is nothing to be in the environment of.
"""

import os
import sys
from pathlib import Path
from typing import NoReturn

from scripts.laptop.backing import database_of
from scripts.laptop.environment import REPOSITORY, VAR, Addresses, Secrets, application_environment
from scripts.laptop.ports import Ports
from scripts.laptop.postgres import Postgres, PostgresFailed
from scripts.laptop.record import RunRecord
from scripts.laptop.session import SessionFailed

#: What a person's programs need to know of the terminal, and services do not.
_INHERITED = ("TERM", "COLUMNS", "LINES", "EDITOR")


class SessionAbsent(SessionFailed):
    """Raised when no session of this clone runs, or its database is not up yet."""


def session_environment(var: Path) -> dict[str, str]:
    """What the services of the running session got, for a command of somebody at the terminal. Raises :class:`SessionAbsent`."""
    record = RunRecord.read(var / "run.json")
    if record is None or not record.session.is_alive():
        raise SessionAbsent("no session runs in this clone. Start scripts/run in another terminal, and keep it running.")
    server = Postgres(var / "postgres")
    ports = Ports(var / "ports.json")
    try:
        server.find()
        addresses = Addresses(
            web_port=ports.last("web"), aws_port=ports.last("aws"), gateway_port=ports.last("gateway"), partner_port=ports.last("partner")
        )
    except (PostgresFailed, KeyError) as error:
        raise SessionAbsent("the session is starting or ending: its database does not answer. Try again in a few seconds.") from error
    own = Secrets.kept_in(var / "secrets.json")
    environment = application_environment(var=var, addresses=addresses, database=database_of(server), own=own)
    terminal = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    return terminal | environment | {"SERVICE": "shell"}


def main() -> NoReturn:
    try:
        environment = session_environment(VAR)
    except SessionAbsent as absent:
        sys.exit(f"scripts/manage: {absent}")
    os.chdir(REPOSITORY)
    os.execve(sys.executable, [sys.executable, "-m", "app.manage", *sys.argv[1:]], environment)  # noqa: S606 — there is no shell to fear


if __name__ == "__main__":
    main()
