from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import boto3
import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractBaseUser
from django.test import Client

from app.api.tokens import issue_token
from app.engine.circuit_breaker import BreakerPolicy, SharedRecords, breaker, shared_records
from app.engine.conf import engine_settings
from app.engine.outbox.background import background_relay
from app.topology.naming import table_name
from app.topology.tables import BREAKERS
from app.workload.integrations import calls
from app.workload.integrations.models import PartnerCall
from tests.support.environment import REGION

#: The same in each process that collects the tests.
NOBODYS = "00000000-0000-4000-8000-000000000000"
PAYLOAD: dict[str, Any] = {"country": "DE", "postcode": "10115", "weight_grams": 1200}


@pytest.fixture(autouse=True)
def outbox_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was published stays in its table, to be counted."""
    monkeypatch.setattr(background_relay, "wake", lambda: None)


@pytest.fixture(scope="module")
def _breakers(aws: str) -> Any:
    """The table of this process's settings."""
    client: Any = boto3.client("dynamodb", endpoint_url=aws, region_name=REGION, aws_access_key_id="test", aws_secret_access_key="test")
    table = table_name(engine_settings().name_prefix, BREAKERS.name)
    if table not in client.list_tables()["TableNames"]:
        client.create_table(
            TableName=table,
            KeySchema=[{"AttributeName": "name", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "name", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
    return client


@pytest.fixture(autouse=True)
def records(_breakers: Any, partner: Any) -> Iterator[SharedRecords]:
    """Nothing is counted, and this process remembers nothing of other tests."""
    breaker.cache_clear()
    yield shared_records()
    table = table_name(engine_settings().name_prefix, BREAKERS.name)
    for item in _breakers.scan(TableName=table)["Items"]:
        _breakers.delete_item(TableName=table, Key={"name": item["name"]})


@pytest.fixture
def open_breaker(records: SharedRecords) -> Callable[[str, float], None]:
    def opening(name: str, now: float) -> None:
        for _ in range(BreakerPolicy().failures):
            records.count_failure(name, BreakerPolicy(), "503", now)

    return opening


@pytest.fixture
def owner(db: None) -> AbstractBaseUser:
    return get_user_model().objects.create(username="ada")


@pytest.fixture
def api_client(owner: AbstractBaseUser) -> Client:
    """As everywhere, but rolled back after the test."""
    client = Client(headers={"Authorization": f"Bearer {issue_token(owner, 'tests')}"})
    client.owner = owner  # type: ignore[attr-defined]
    return client


@pytest.fixture
def call(db: None) -> Callable[..., PartnerCall]:
    """Run a job by hand."""

    def run(call_id: str = "", payload: dict[str, Any] | None = None, **options: Any) -> PartnerCall:
        told: dict[str, Any] = {"endpoint_name": "shipping_quote", "is_last_attempt": False} | options
        return calls.call_external_api(call_id=call_id or str(uuid4()), payload=PAYLOAD if payload is None else payload, **told)

    return run
