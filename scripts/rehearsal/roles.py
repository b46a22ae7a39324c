"""The two things that ECS's agent does for a container: it hands out the credentials of the task's role, and takes requests for protection.

Both for every service, on one port of loopback. Each request for protection is made to the emulated ECS with the role of the service
that asks, so that IAM decides on it. Its limit: the emulated ECS protects nothing, so the answer is made up here.
"""

import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from botocore.exceptions import ClientError

from scripts.laptop.loopback import HOST
from scripts.rehearsal.emulated_aws import EmulatedAws

#: The session of a role under which the rehearsal itself calls. What it calls is no use that the application makes of a grant.
PROBE = "rehearsal-probe"
_SECONDS_TO_END = 5
_DEFAULT_MINUTES = 120


class Agent:
    """``role_arns``: of each service."""

    def __init__(self, aws: EmulatedAws, role_arns: Mapping[str, str], *, cluster: str, region: str, account: str) -> None:
        self._aws = aws
        self._role_arns = role_arns
        self._cluster = cluster
        self._task_arn = f"arn:aws:ecs:{region}:{account}:task/{cluster}"
        self._url = ""
        # Valid for an hour; no rehearsal takes so long.
        self._issued: dict[str, dict[str, str]] = {}
        self._assuming = threading.Lock()

    def variables(self, service: str) -> dict[str, str]:
        """What ECS puts into the environment of a container."""
        return {
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{self._url}/{service}/credentials",
            "ECS_AGENT_URI": f"{self._url}/{service}/agent",
            "ECS_CONTAINER_METADATA_URI_V4": f"{self._url}/{service}/v4",
        }

    def credentials(self, service: str) -> dict[str, str]:
        """Of the role of a service, the same ones to each of its processes, as ECS's agent has them."""
        with self._assuming:
            if service not in self._issued:
                self._issued[service] = self._aws.assume(self._role_arns[service], service)
            return self._issued[service]

    def probe_credentials(self, service: str) -> dict[str, str]:
        """Of the same role, for ourselves."""
        return self._aws.assume(self._role_arns[service], PROBE)

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, dict[str, Any]]:
        match method, path.strip("/").split("/"):
            case "GET", [service, "credentials"] if service in self._role_arns:
                return HTTPStatus.OK, self.credentials(service)
            case "GET", [service, "v4", "task"] if service in self._role_arns:
                return HTTPStatus.OK, {"Cluster": self._cluster, "TaskARN": self._arn(service), "Family": service}
            case "PUT", [service, "agent", "task-protection", "v1", "state"] if service in self._role_arns:
                return self._protect(service, json.loads(body))
        return HTTPStatus.NOT_FOUND, {"error": {"Code": "ResourceNotFoundException", "Message": f"{method} {path}"}}

    def _arn(self, service: str) -> str:
        return f"{self._task_arn}/{service.replace('-', '')}"

    def _protect(self, service: str, wanted: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        ecs = self._aws.client("ecs", self.credentials(service))
        enabled, minutes = wanted["ProtectionEnabled"], wanted.get("ExpiresInMinutes", _DEFAULT_MINUTES)
        try:
            ecs.update_task_protection(
                cluster=self._cluster,
                tasks=[self._arn(service)],
                protectionEnabled=enabled,
                **({"expiresInMinutes": minutes} if enabled else {}),
            )
        except ClientError as error:
            return HTTPStatus.BAD_REQUEST, {"error": {"Code": error.response["Error"]["Code"], "Message": str(error)}}
        expires = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 60 * minutes)) if enabled else None
        return HTTPStatus.OK, {"protection": {"ProtectionEnabled": enabled, "ExpirationDate": expires, "TaskArn": self._arn(service)}}

    @contextmanager
    def running(self) -> Iterator["Agent"]:
        agent = self

        class Handler(BaseHTTPRequestHandler):
            def _serve(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                try:
                    status, answer = agent.answer(self.command, self.path, body)
                except ClientError as error:
                    status, answer = HTTPStatus.INTERNAL_SERVER_ERROR, {"error": {"Code": "ServerException", "Message": str(error)}}
                text = json.dumps(answer).encode()
                try:
                    self.send_response(status)
                    self.send_header("Content-Type", "application/json")
                    self.send_header("Content-Length", str(len(text)))
                    self.end_headers()
                    self.wfile.write(text)
                except OSError:  # who asked has gone
                    self.close_connection = True

            do_GET = do_PUT = _serve  # noqa: N815 — the names that http.server calls

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        server = ThreadingHTTPServer((HOST, 0), Handler)
        server.daemon_threads = True
        self._url = f"http://{HOST}:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, name="ecs-agent", daemon=True)
        thread.start()
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()
            thread.join(_SECONDS_TO_END)
