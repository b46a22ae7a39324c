"""What has to be done to the database before services start: migrations, the operator, the demo's token. Once, not each time."""

import hashlib
import json
import sys
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

from scripts.laptop.environment import Secrets
from scripts.laptop.session import Child, Session, SessionFailed

OPERATOR = "operator"
_WITHIN = timedelta(minutes=2)


class Schema:
    """Brings one data directory up to date and remembers, in ``var/schema.json``, which one it was and what was done."""

    def __init__(self, session: Session, *, cluster: Path, repository: Path, environment: Mapping[str, str]) -> None:
        self.token_file = session.var / "api-token"
        self._session = session
        self._repository = repository
        self._environment = {**environment, "SERVICE": "shell"}
        self._memory = session.var / "schema.json"
        self._accounts: Child | None = None
        self._wanted = {"data": _identify(cluster), "migrations": _digest_migrations(repository)}

    def migrate(self) -> None:
        """Does nothing when neither migrations nor packages have changed. Raises :class:`SessionFailed`."""
        done = self._done()
        if done.get("data") != self._wanted["data"]:
            self.token_file.unlink(missing_ok=True)  # a token of another database opens nothing
        elif done == self._wanted:
            return
        self._finish(self._start("migrate", "app.manage", "migrate", "--noinput"), "migrating the database")
        self._memory.write_text(json.dumps(self._wanted))

    def begin_accounts(self, own: Secrets) -> None:
        """Make the operator and the token beside whatever else starts, unless they are there."""
        if self.token_file.exists():
            return
        self._accounts = self._start("accounts", "scripts.laptop.accounts", has_input=True)
        wanted = {"username": OPERATOR, "password": own.console_password, "token_file": str(self.token_file)}
        self._accounts.give(json.dumps(wanted))

    def token(self) -> str:
        """Waits for the accounts. Raises :class:`SessionFailed`."""
        if self._accounts is not None:
            self._finish(self._accounts, "making the operator and the API token")
            self._accounts = None
        return self.token_file.read_text()

    def _done(self) -> dict[str, str]:
        try:
            done: dict[str, str] = json.loads(self._memory.read_text())
            return done
        except (FileNotFoundError, ValueError):
            return {}

    def _start(self, name: str, *module: str, has_input: bool = False) -> Child:
        return self._session.start(name, [sys.executable, "-m", *module], self._environment, self._repository, has_input=has_input)

    def _finish(self, child: Child, what: str) -> None:
        self._session.wait_until(lambda: child.exit_status is not None, lambda: what, _WITHIN)
        if child.exit_status != 0:
            raise SessionFailed(f"{child.name} {child.how_it_ended()}. The end of {child.log}:\n{child.tail()}")
        self._session.forget(child)


def _identify(cluster: Path) -> str:
    """Written once, when the cluster was made."""
    return str((cluster / "PG_VERSION").stat().st_mtime_ns)


def _digest_migrations(repository: Path) -> str:
    """The same for the same migrations, ours and those of the locked packages."""
    digest = hashlib.sha256((repository / "requirements.txt").read_bytes())
    for migration in sorted((repository / "app").glob("**/migrations/*.py")):
        digest.update(str(migration.relative_to(repository)).encode() + migration.read_bytes())
    return digest.hexdigest()
