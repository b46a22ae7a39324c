"""The credentials endpoint of an ECS task, on loopback: it hands out keys that are soon to be replaced."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

#: The AWS SDK looks for another key when one has less left than this, and goes on with the one that it has if there is none …
ADVISORY_REFRESH = timedelta(minutes=15)
#: … until it has no more than this.
MANDATORY_REFRESH = timedelta(minutes=10)


@dataclass
class TaskRole:
    """Each key is ``fresh_seconds`` away from the moment when the AWS SDK looks for the next one."""

    url: str
    fresh_seconds: float
    expires_soon: bool = False
    """That is also the moment when the key may not be used any more."""
    is_away: bool = False
    """Answers 503 to everybody."""
    issued: dict[str, float] = field(default_factory=dict)
    """When each key was handed out, by ``time.monotonic()``."""

    @property
    def identity(self) -> dict[str, str]:
        """The environment of a process that has this role."""
        return {"AWS_CONTAINER_CREDENTIALS_FULL_URI": self.url, "AWS_EC2_METADATA_DISABLED": "true"}

    def issue(self) -> dict[str, str]:
        key = f"ASIAROLE{len(self.issued):08}"
        self.issued[key] = time.monotonic()
        left = (MANDATORY_REFRESH if self.expires_soon else ADVISORY_REFRESH) + timedelta(seconds=self.fresh_seconds)
        expiry = datetime.now(UTC) + left
        return {"AccessKeyId": key, "SecretAccessKey": "secret", "Token": "token", "Expiration": expiry.strftime("%Y-%m-%dT%H:%M:%S.%fZ")}


@contextmanager
def task_role(fresh_seconds: float) -> Iterator[TaskRole]:
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with lock:
                status, body = (503, b"") if role.is_away else (200, json.dumps(role.issue()).encode())
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing to standard error."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    role = TaskRole(f"http://127.0.0.1:{server.server_address[1]}/credentials", fresh_seconds)
    thread = threading.Thread(target=server.serve_forever, name="task-role", daemon=True)
    thread.start()
    try:
        yield role
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
