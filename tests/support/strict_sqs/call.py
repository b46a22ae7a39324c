"""One request in AWS's JSON protocol."""

import json
import re
from typing import Any

from tests.support.strict_sqs.http11 import Head

SQS = "SQS"
_CREDENTIAL = re.compile(rb"Credential=([^/,\s]+)/")


class Call:
    """What is asked of which service. ``entries`` is how many messages it is about, once that is known."""

    def __init__(self, head: Head, body: bytes) -> None:
        target, _, operation = head.headers[b"x-amz-target"].decode().rpartition(".")
        self.service = SQS if target == "AmazonSQS" else target.partition("_")[0]
        self.operation = operation
        self.head = head
        self.body = body
        self.entries = 1
        self.document: dict[str, Any] = {}
        if self.service == SQS:
            self.document = json.loads(body or b"{}")
            self.entries = len(self.document.get("Entries", ())) if operation.endswith("Batch") else 1

    @property
    def name(self) -> str:
        """``ReceiveMessage`` of SQS, ``DynamoDB.PutItem`` of others."""
        return self.operation if self.service == SQS else f"{self.service}.{self.operation}"

    @property
    def queue(self) -> str:
        """The queue's physical name, empty where there is none."""
        url: str = self.document.get("QueueUrl", "")
        return url.rpartition("/")[2]

    @property
    def access_key(self) -> str:
        """Of the credentials that signed the request, empty where it is not signed."""
        signed = _CREDENTIAL.search(self.head.headers.get(b"authorization", b""))
        return signed[1].decode() if signed else ""

    def encode(self, document: dict[str, Any] | None = None) -> bytes:
        """The request as it came, or with another document."""
        if document is None:
            return self.head.raw + self.body
        body = json.dumps(document).encode()
        return self.head.with_length(len(body)) + body

    def another(self, operation: str, document: dict[str, Any]) -> bytes:
        """A request of our own under the caller's credentials, which name the region."""
        body = json.dumps(document).encode()
        lines = [
            b"POST / HTTP/1.1",
            b"Content-Type: application/x-amz-json-1.0",
            b"X-Amz-Target: AmazonSQS." + operation.encode(),
            b"Content-Length: %d" % len(body),
        ]
        lines += [name + b": " + value for name, value in self.head.headers.items() if name in {b"host", b"authorization", b"x-amz-date"}]
        return b"\r\n".join(lines) + b"\r\n\r\n" + body
