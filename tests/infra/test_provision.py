"""The provisioner of simulated AWS on its own."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from app.engine.aws.errors import AwsUnavailable
from app.engine.aws.provision import ProvisioningRefused, provision
from app.engine.errors import EngineError
from app.topology import TOPOLOGY, KeyAttribute, Topology
from tests.infra.simulated_aws import REGION, client, contents, simulated_aws

PREFIX = "acme-laptop"


@pytest.fixture(scope="module")
def endpoint_url() -> Iterator[str]:
    with simulated_aws() as url:
        yield url


def make(topology: Topology, endpoint_url: str) -> None:
    provision(topology, name_prefix=PREFIX, region=REGION, endpoint_url=endpoint_url)


def test_a_second_call_changes_nothing(endpoint_url: str) -> None:
    make(TOPOLOGY, endpoint_url)
    before = contents(endpoint_url)

    make(TOPOLOGY, endpoint_url)

    assert contents(endpoint_url) == before


def test_a_second_call_brings_every_attribute_of_the_queues_up_to_date(endpoint_url: str) -> None:
    make(TOPOLOGY, endpoint_url)
    first = TOPOLOGY.queues[0]
    changed = replace(
        first,
        visibility_timeout=first.visibility_timeout + timedelta(seconds=1),
        retention=first.retention + timedelta(seconds=1),
        dead_letter_retention=first.dead_letter_retention - timedelta(seconds=1),
        max_receive_count=first.max_receive_count + 1,
    )

    make(replace(TOPOLOGY, queues=(changed, *TOPOLOGY.queues[1:])), endpoint_url)

    queues = contents(endpoint_url).queues
    queue, dead_letters = queues[f"{PREFIX}-{first.name}"], queues[f"{PREFIX}-{first.name}-dead-letters"]
    assert queue["VisibilityTimeout"] == f"{changed.visibility_timeout.total_seconds():.0f}"
    assert queue["MessageRetentionPeriod"] == f"{changed.retention.total_seconds():.0f}"
    assert dead_letters["MessageRetentionPeriod"] == f"{changed.dead_letter_retention.total_seconds():.0f}"
    assert f'"maxReceiveCount": {changed.max_receive_count}' in queue["RedrivePolicy"]


def test_messages_survive_a_second_call(endpoint_url: str) -> None:
    make(TOPOLOGY, endpoint_url)
    sqs = client("sqs", endpoint_url)
    url = sqs.get_queue_url(QueueName=f"{PREFIX}-{TOPOLOGY.queues[0].name}")["QueueUrl"]
    sqs.send_message(QueueUrl=url, MessageBody="still there")

    make(TOPOLOGY, endpoint_url)

    assert sqs.receive_message(QueueUrl=url)["Messages"][0]["Body"] == "still there"


def test_a_table_with_another_key_is_refused_and_left_alone(endpoint_url: str) -> None:
    make(TOPOLOGY, endpoint_url)
    before = contents(endpoint_url).tables
    table = replace(TOPOLOGY.tables[0], partition_key=KeyAttribute(name="other"))

    with pytest.raises(ProvisioningRefused, match=r"exists with other .* Restart the simulated AWS"):
        make(replace(TOPOLOGY, tables=(table, *TOPOLOGY.tables[1:])), endpoint_url)

    assert contents(endpoint_url).tables == before


def test_two_prefixes_live_side_by_side(endpoint_url: str) -> None:
    make(TOPOLOGY, endpoint_url)

    provision(TOPOLOGY, name_prefix="acme-second", region=REGION, endpoint_url=endpoint_url)

    names = contents(endpoint_url).queues.keys()
    assert {name.removeprefix(f"{PREFIX}-") for name in names if name.startswith(PREFIX)} == {
        name.removeprefix("acme-second-") for name in names if name.startswith("acme-second")
    }


@pytest.mark.parametrize("url", ["", "not a url", "https://sqs.eu-central-1.amazonaws.com", "https://sqs.cn-north-1.amazonaws.com.cn"])
def test_real_aws_is_never_touched(url: str) -> None:
    with pytest.raises(ProvisioningRefused, match="scripts/synth") as caught:
        make(TOPOLOGY, url)

    assert isinstance(caught.value, EngineError)


def test_an_absent_server_is_reported_as_unavailable() -> None:
    with pytest.raises(AwsUnavailable, match=r"provision the topology at http://127\.0\.0\.1:9"):
        make(TOPOLOGY, "http://127.0.0.1:9")
