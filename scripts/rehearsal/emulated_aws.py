"""The emulator as the rehearsal sees it: a server of the session, clients for it, and what its IAM has decided so far."""

import json
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from scripts.laptop.environment import ACCOUNT_ID, REGION, bare_environment
from scripts.laptop.loopback import HOST
from scripts.laptop.ports import Ports
from scripts.laptop.session import Session, SessionFailed
from scripts.rehearsal.grants import Call

#: The account's own key, which IAM lets do everything; the provisioner of the application uses the same made-up one.
_ROOT = "simulated"
_READY_WITHIN = timedelta(seconds=60)


class EmulatedAws:
    """Forgets everything when the session ends."""

    def __init__(self, session: Session, ports: Ports, *, repository: Path, packages: Path) -> None:
        self._session = session
        self._repository = repository
        self._packages = packages
        self._port = ports.claim("emulator")
        self._plain_port = ports.claim("emulator-plain")
        self._decisions = session.var / "decisions.jsonl"
        self.mails = session.var / "mail"
        """What the emulated SES has accepted, a file each."""
        # Making one takes a good part of a second, and threads ask for them.
        self._clients: dict[tuple[str, str, bool], Any] = {}
        self._making = threading.Lock()

    @property
    def port(self) -> int:
        return self._port

    @property
    def address(self) -> str:
        """Calls to it count as TLS."""
        return f"http://{HOST}:{self._port}"

    @property
    def plain_address(self) -> str:
        """Calls to it count as plain HTTP."""
        return f"http://{HOST}:{self._plain_port}"

    def start(self) -> None:
        """Raises :class:`SessionFailed`."""
        self._decisions.unlink(missing_ok=True)
        environment = bare_environment() | {
            "PYTHONPATH": str(self._packages),
            "AUTH": "true",
            "AWS_ACCESS_KEY_ID": _ROOT,
            "AWS_SECRET_ACCESS_KEY": _ROOT,
            "BIND_HOST": HOST,
            # Nowhere: it would start containers where there is a Docker, and be another emulator there.
            "DOCKER_HOST": "unix:///nowhere/docker.sock",
            "GATEWAY_PORT": str(self._port),
            "IOT_MTLS_ENABLED": "0",
            "SFTP_ENABLED": "0",
            "LOG_LEVEL": "WARNING",
            "MINISTACK_ACCOUNT_ID": ACCOUNT_ID,
            "MINISTACK_HOST": HOST,
            "MINISTACK_REGION": REGION,
        }
        command = [sys.executable, "-m", "scripts.rehearsal.emulator", "--port", str(self._port)]
        command += ["--plain-port", str(self._plain_port), "--decisions", str(self._decisions), "--mails", str(self.mails)]
        server = self._session.start("emulator", command, environment, self._repository, is_server=True)

        def is_ready() -> bool:
            if server.exit_status is not None:
                raise SessionFailed(f"The emulator {server.how_it_ended()}. The end of {server.log}:\n{server.tail()}")
            return _answers(f"{self.address}/_ministack/health")

        self._session.wait_until(is_ready, lambda: "waiting for the emulator", _READY_WITHIN)

    def client(self, service: str, credentials: Mapping[str, str] | None = None, *, is_plain: bool = False) -> Any:
        """As the account itself, or with the credentials of a role."""
        key = (credentials or {}).get("AccessKeyId", _ROOT)
        known = (service, key, is_plain)
        with self._making:
            if known not in self._clients:
                self._clients[known] = self._new_client(service, key, credentials or {}, is_plain=is_plain)
            return self._clients[known]

    def _new_client(self, service: str, key: str, credentials: Mapping[str, str], *, is_plain: bool) -> Any:
        session = boto3.session.Session(
            region_name=REGION,
            aws_access_key_id=key,
            aws_secret_access_key=credentials.get("SecretAccessKey", _ROOT),
            aws_session_token=credentials.get("Token"),
        )
        return session.client(
            service,
            endpoint_url=self.plain_address if is_plain else self.address,
            config=Config(retries={"mode": "standard", "total_max_attempts": 1}, s3={"addressing_style": "path"}),
        )

    def account_variables(self) -> dict[str, str]:
        """The environment of a person who may do everything in the account."""
        return {"AWS_ACCESS_KEY_ID": _ROOT, "AWS_SECRET_ACCESS_KEY": _ROOT}

    def assume(self, role_arn: str, session_name: str) -> dict[str, str]:
        """Credentials of a role for an hour, in the form in which ECS's agent hands them out."""
        answer = self.client("sts").assume_role(RoleArn=role_arn, RoleSessionName=session_name)["Credentials"]
        return {
            "AccessKeyId": answer["AccessKeyId"],
            "SecretAccessKey": answer["SecretAccessKey"],
            "Token": answer["SessionToken"],
            "Expiration": answer["Expiration"].strftime("%Y-%m-%dT%H:%M:%SZ"),
        }

    def decisions(self) -> list[Call]:
        """Each different one once, in the order of their first time."""
        if not self._decisions.exists():
            return []
        return [json.loads(line) for line in self._decisions.read_text().splitlines() if line.endswith("}")]


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1):  # noqa: S310 — our own address
            return True
    except (urllib.error.URLError, OSError):
        return False
