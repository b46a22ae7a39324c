"""A real boto3 client without a network: it keeps the requests that it would send, and is answered what the test says."""

from typing import Any

import boto3
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.compat import HTTPHeaders
from botocore.config import Config

REGION = "eu-central-1"
QUEUE_URL = "https://sqs.eu-central-1.amazonaws.com/123456789012/default"


class _Raw:
    """The part of urllib3's response that botocore reads."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self, **_: Any) -> list[bytes]:
        return [self._body]


class RecordedBoto:
    """``client`` is boto3's. One attempt each, so that what it raises is its reading of the answer."""

    def __init__(self, service: str = "sqs") -> None:
        self.requests: list[AWSPreparedRequest] = []
        self.status = 200
        self.headers: dict[str, str] = {}
        self.body = b"{}"
        self.client: Any = boto3.session.Session(region_name=REGION, aws_access_key_id="AKID", aws_secret_access_key="secret").client(
            service, endpoint_url=f"https://{service}.{REGION}.amazonaws.com", config=Config(retries={"total_max_attempts": 1})
        )
        self.client.meta.events.register(f"before-send.{service}.*", self._answer)

    def _answer(self, request: AWSPreparedRequest, **_: Any) -> AWSResponse:
        self.requests.append(request)
        return AWSResponse(request.url, self.status, HTTPHeaders.from_dict(self.headers), _Raw(self.body))
