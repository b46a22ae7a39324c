"""ECS's agent as a container meets it: the metadata of its task and the endpoint for protection, with its refusals and its silences.

The shapes are those of https://github.com/aws/amazon-ecs-agent, ``ecs-agent/tmds/handlers/taskprotection/v1``.
"""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TASK_ARN = "arn:aws:ecs:eu-central-1:123456789012:task/millrace/158d1c8083dd49d6b527399fd6414f5c"
HANGS_SECONDS = 30
_LONGEST_MINUTES = 2880


class Mood(Enum):
    WELL = "well"
    FAILS = "fails"
    DENIES = "denies"
    """The role of the task lacks the permission."""
    REFUSES = "refuses"
    """ECS itself: the answer has status 200."""
    HANGS = "hangs"


@dataclass
class EcsAgent:
    """Starts with the block that it is used in. ``requests``: what was asked for, in order, whatever became of it."""

    mood: Mood = Mood.WELL
    is_protected: bool = False
    expires_at: float = 0.0
    requests: list[dict[str, Any]] = field(default_factory=list)
    _healed: threading.Event = field(default_factory=threading.Event)
    _server: Any = None

    @property
    def variables(self) -> dict[str, str]:
        """What ECS puts into the environment of a container."""
        url = f"http://127.0.0.1:{self._server.server_port}"
        return {"ECS_AGENT_URI": f"{url}/api/4a6b", "ECS_CONTAINER_METADATA_URI_V4": f"{url}/v4/4a6b"}

    @property
    def asked(self) -> list[bool]:
        return [request["ProtectionEnabled"] for request in self.requests]

    def become(self, mood: Mood) -> None:
        self.mood = mood
        self._healed.set()
        self._healed = threading.Event()

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, Any]:
        if (method, path) == ("GET", "/v4/4a6b/task"):
            return 200, {"Cluster": "millrace", "TaskARN": TASK_ARN, "Family": "worker", "Revision": "7"}
        if (method, path) != ("PUT", "/api/4a6b/task-protection/v1/state"):
            return 404, {"error": {"Code": "ResourceNotFoundException", "Message": f"{method} {path}"}}
        wanted = json.loads(body)
        self.requests.append(wanted)
        return self._change(wanted)

    def _change(self, wanted: dict[str, Any]) -> tuple[int, Any]:
        mood, healed = self.mood, self._healed
        if mood is Mood.HANGS:
            healed.wait(HANGS_SECONDS)
            return 504, _error("RequestCanceled", "Timed out calling ECS Task Protection API")
        if mood is Mood.FAILS:
            return 500, _error("ServerException", "Unexpected error occurred")
        if mood is Mood.DENIES:
            return 400, _error("AccessDeniedException", "not authorized to perform: ecs:UpdateTaskProtection")
        minutes = wanted.get("ExpiresInMinutes", 120)
        if set(wanted) - {"ProtectionEnabled", "ExpiresInMinutes"} or not 1 <= minutes <= _LONGEST_MINUTES:
            return 400, _error("InvalidParameterException", "UpdateTaskProtection: failed to decode request")
        if mood is Mood.REFUSES:
            return 200, {"failure": {"Arn": TASK_ARN, "Reason": "DEPLOYMENT_BLOCKED", "Detail": None}}
        self.is_protected = wanted["ProtectionEnabled"]
        self.expires_at = time.time() + 60 * minutes if self.is_protected else 0.0
        expires = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.expires_at)) if self.is_protected else None
        return 200, {"protection": {"ProtectionEnabled": self.is_protected, "ExpirationDate": expires, "TaskArn": TASK_ARN}}

    @contextmanager
    def running(self) -> Iterator["EcsAgent"]:
        agent = self

        class Handler(BaseHTTPRequestHandler):
            def _serve(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                status, answer = agent.answer(self.command, self.path, body)
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

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self.become(Mood.WELL)
            self._server.shutdown()
            self._server.server_close()
            thread.join()


def _error(code: str, message: str) -> dict[str, Any]:
    return {"error": {"Arn": TASK_ARN, "Code": code, "Message": message}}
