"""The signature is botocore's own, to the letter."""

import datetime as dt
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import ReadOnlyCredentials
from hypothesis import given
from hypothesis import strategies as st

from app.engine.aws.wire.signature import Signer

REGION = "eu-central-1"
ADDRESSES = (
    "https://sqs.eu-central-1.amazonaws.com",
    "https://sqs.eu-central-1.amazonaws.com:443/",
    "http://127.0.0.1:4566",
    "http://[::1]:4566",
    "https://Proxy.example.com:8443/some path/sqs",
)
TIMES = st.integers(min_value=0, max_value=4_000_000_000)


def headers_of(lines: list[str]) -> dict[str, str]:
    return dict(line.split(": ", 1) for line in lines)


def botocore_authorization(url: str, headers: dict[str, str], body: bytes, credentials: Any, at: float, service: str = "sqs") -> str:
    unsigned = {name: value for name, value in headers.items() if name not in {"Authorization", "X-Amz-Date", "X-Amz-Security-Token"}}
    request = AWSRequest(method="POST", url=url, headers=unsigned, data=body)
    moment = dt.datetime.fromtimestamp(at, dt.UTC).replace(tzinfo=None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("botocore.auth.get_current_datetime", lambda: moment)
        SigV4Auth(credentials, service, REGION).add_auth(request)
    authorization: str = request.headers["Authorization"]
    return authorization


@pytest.mark.parametrize("url", ADDRESSES)
@pytest.mark.parametrize("token", [None, "a/session+token=="])
@pytest.mark.parametrize("service", ["sqs", "dynamodb"])
@pytest.mark.parametrize("body", [b"{}", b'{"MessageBody":"x"}', "{'ü€🎉'}".encode(), b"x" * 300_000])
def test_a_signature_equals_that_of_botocore(url: str, token: str | None, body: bytes, service: str) -> None:
    credentials: Any = ReadOnlyCredentials("AKID", "secret/+key", token)

    headers = headers_of(Signer(url=url, region=REGION, service=service).headers("Target.Operation", body, credentials, 1_790_000_000.9))

    assert headers["Authorization"] == botocore_authorization(url, headers, body, credentials, 1_790_000_000.9, service)
    assert headers.get("X-Amz-Security-Token") == token


@given(at=st.lists(TIMES, min_size=1, max_size=4), secrets=st.lists(st.text(min_size=1, max_size=5), min_size=1, max_size=3))
def test_what_a_signer_remembers_is_never_of_another_day_or_another_key(at: list[int], secrets: list[str]) -> None:
    signer = Signer(url=ADDRESSES[0], region=REGION, service="sqs")

    for second in at:
        for secret in secrets:
            credentials: Any = ReadOnlyCredentials("AKID", secret, None)
            headers = headers_of(signer.headers("AmazonSQS.DeleteMessage", b"{}", credentials, float(second)))
            assert headers["Authorization"] == botocore_authorization(ADDRESSES[0], headers, b"{}", credentials, float(second))
