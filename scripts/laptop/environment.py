"""The environment of a laptop's processes: the same variables as in AWS, other values; and the secrets among them."""

import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from app.topology import TOPOLOGY, ServicePolicy
from scripts.laptop.loopback import HOST

REPOSITORY = Path(__file__).resolve().parents[2]
#: What the sessions of this clone keep.
VAR = REPOSITORY / "var"
REGION = "eu-central-1"
#: The account that moto plays.
ACCOUNT_ID = "123456789012"
NAME_PREFIX = "millrace"
#: What programs expect from their surroundings. Nothing else of the caller's reaches them: no AWS_*, no DJANGO_*.
_INHERITED = ("PATH", "HOME", "LANG", "TMPDIR")
_GIVEN_PER_SERVICE = frozenset({"SERVICE"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Secrets:
    """Random, made once for each clone, in a file that only its owner can read."""

    secret_key: str
    console_password: str
    stripe_api_key: str
    partner_api_key: str

    @classmethod
    def kept_in(cls, path: Path) -> "Secrets":
        kept: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
        made = cls(
            secret_key=secrets.token_urlsafe(50),
            console_password=secrets.token_urlsafe(12),
            stripe_api_key=f"sk_test_{secrets.token_hex(16)}",
            partner_api_key=secrets.token_hex(16),
        )
        # A file of an earlier version lacks the newer ones.
        own = cls(**{name: kept.get(name, value) for name, value in asdict(made).items()})
        if asdict(own) != kept:
            write_private(path, json.dumps(asdict(own), indent=1))
        return own

    def __repr__(self) -> str:
        return "Secrets(…)"


@dataclass(frozen=True, kw_only=True, slots=True)
class Addresses:
    """Where everything of one session listens."""

    web_port: int
    aws_port: int
    gateway_port: int
    partner_port: int

    @property
    def web(self) -> str:
        return f"http://{HOST}:{self.web_port}"

    @property
    def aws(self) -> str:
        return f"http://{HOST}:{self.aws_port}"

    @property
    def gateway(self) -> str:
        return f"http://{HOST}:{self.gateway_port}"

    @property
    def partner(self) -> str:
        return f"http://{HOST}:{self.partner_port}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Database:
    """How to reach PostgreSQL."""

    host: str
    port: int
    name: str
    user: str
    password: str

    def __repr__(self) -> str:
        return f"Database({self.user}@{self.host}:{self.port}/{self.name})"


def write_private(path: Path, text: str) -> None:
    """Write a file that nobody else can read, all of it or nothing."""
    draft = path.with_name(f"{path.name}.new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    draft.replace(path)


def bare_environment() -> dict[str, str]:
    """What every child gets, whatever the caller's shell has set."""
    inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    return inherited | {
        # Dummies: no call may ever reach the real AWS with real credentials.
        "AWS_ACCESS_KEY_ID": "laptop",
        "AWS_SECRET_ACCESS_KEY": "laptop",
        "AWS_EC2_METADATA_DISABLED": "true",
        "PYTHONUNBUFFERED": "1",
    }


def application_environment(*, var: Path, addresses: Addresses, database: Database, own: Secrets) -> dict[str, str]:
    """Everything that the application reads, for any service; :func:`service_environment` adds what is one service's own."""
    values = {
        "NAME_PREFIX": NAME_PREFIX,
        "SECRET_KEY": own.secret_key,
        "DATABASE_HOST": database.host,
        "DATABASE_PORT": str(database.port),
        "DATABASE_NAME": database.name,
        "DATABASE_USER": database.user,
        "DATABASE_PASSWORD": database.password,
        "AWS_REGION": REGION,
        "AWS_ACCOUNT_ID": ACCOUNT_ID,
        "AWS_ENDPOINT_URL": addresses.aws,
        "PUBLIC_URL": addresses.web,
        "ALLOWED_HOSTS": "localhost",
        "WEB_BIND": f"{HOST}:{addresses.web_port}",
        "WEB_PROCESSES": "1",
        "PULSE_DIRECTORY": str(var / "pulse"),
        # Ctrl-C waits for the last receives.
        "SQS_WAIT_TIME_SECONDS": "2",
        # The demo's morning passes in seconds.
        "TASK_DEFAULT_RATE_LIMIT": "",
        "IMAGES_RATE_LIMIT": "",
        "EMAIL_URL": (var / "mail").as_uri(),
        "EMAIL_FROM": "shop@example.com",
        "STRIPE_API_KEY": own.stripe_api_key,
        "STRIPE_API_BASE": addresses.gateway,
        "PARTNER_API_KEY": own.partner_api_key,
        "PARTNER_API_BASE": addresses.partner,
        "OUTBOUND_ALLOWED_ADDRESSES": f"{HOST}:{addresses.partner_port}",
    }
    _check_declared(values)
    return bare_environment() | values


def _check_declared(values: Mapping[str, str]) -> None:
    declared = {variable.name for variable in TOPOLOGY.variables}
    required = {variable.name for variable in TOPOLOGY.variables if variable.default is None} - _GIVEN_PER_SERVICE
    if missing := required - set(values):
        raise RuntimeError(
            f"Give a value for {', '.join(sorted(missing))} in scripts/laptop/environment.py: app/topology/variables.py has none."
        )
    if unknown := set(values) - declared:
        raise RuntimeError(
            f"Remove {', '.join(sorted(unknown))} from scripts/laptop/environment.py: app/topology/variables.py has no such variable."
        )


def service_environment(application: Mapping[str, str], service: ServicePolicy) -> dict[str, str]:
    return {**application, "SERVICE": service.name}
