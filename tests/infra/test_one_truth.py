"""One topology, two makers: what the CDK deploys and what the provisioner makes are the same.

The synthesised resources are deployed into one simulated AWS by CloudFormation, the provisioner fills another, and both
are described through the AWS API, compared with each other and with the topology.

moto's CloudFormation cannot do everything. Types that it does not know are taken out (``NOT_IN_MOTO``); properties that it
silently drops are compared between template and provisioner, or asserted in test_templates.py:
time to live, bucket lifecycle (here); encryption and point-in-time recovery of tables, ``RedriveAllowPolicy`` (there).
``DeletionProtectionEnabled`` is a matter of the stage and not of the topology.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from app.engine.aws.provision import provision
from app.topology import TOPOLOGY, QueuePolicy, Topology
from app.topology.naming import bucket_name, dead_letter_queue_name, queue_name, table_name
from infra.stages import DEV
from tests.infra.conftest import Synthesise
from tests.infra.simulated_aws import REGION, Contents, client, contents, simulated_aws
from tests.infra.templates import Template, Templates, differences

PREFIX = DEV.name_prefix

#: moto 5.2.5 warns about these and goes on; leaving them in would look like a deployment of more than there is.
NOT_IN_MOTO = frozenset({"AWS::SQS::QueuePolicy", "AWS::S3::BucketPolicy"})


@pytest.fixture(scope="module")
def deployed(dev: Templates) -> Iterator[str]:
    """The URL of an AWS that CloudFormation filled."""
    with simulated_aws() as endpoint_url:
        cloudformation = client("cloudformation", endpoint_url)
        for name, template in (("messaging", dev.messaging), ("state", dev.state)):
            # The parameter and the rule of the CDK's bootstrap, which moto cannot resolve, and the outputs stay behind.
            resources = {key: resource for key, resource in template["Resources"].items() if resource["Type"] not in NOT_IN_MOTO}
            cloudformation.create_stack(StackName=name, TemplateBody=json.dumps({"Resources": resources}))
            (stack,) = cloudformation.describe_stacks(StackName=name)["Stacks"]
            made = cloudformation.describe_stack_resources(StackName=name)["StackResources"]
            assert stack["StackStatus"] == "CREATE_COMPLETE"
            assert {resource["LogicalResourceId"] for resource in made} == set(resources)
        yield endpoint_url


@pytest.fixture(scope="module")
def provisioned() -> Iterator[str]:
    """The URL of an AWS that the provisioner filled."""
    with simulated_aws() as endpoint_url:
        provision(TOPOLOGY, name_prefix=PREFIX, region=REGION, endpoint_url=endpoint_url)
        yield endpoint_url


def _without_protection(found: Contents) -> dict[str, Any]:
    return {
        name: {key: value for key, value in table.items() if key != "DeletionProtectionEnabled"} for name, table in found.tables.items()
    }


# -- both makers ----------------------------------------------------------------------------------------------------
def test_both_make_the_same_queues(deployed: str, provisioned: str) -> None:
    assert differences(contents(deployed).queues, contents(provisioned).queues) == {}


def test_both_make_the_same_tables(deployed: str, provisioned: str) -> None:
    assert differences(_without_protection(contents(deployed)), _without_protection(contents(provisioned))) == {}


def test_both_make_the_same_buckets(deployed: str, provisioned: str) -> None:
    assert contents(deployed).buckets == contents(provisioned).buckets


# -- and it is the topology -----------------------------------------------------------------------------------------
@pytest.fixture(params=["deployed", "provisioned"])
def made(request: pytest.FixtureRequest) -> Contents:
    return contents(request.getfixturevalue(request.param))


def test_the_queues_are_those_of_the_topology(made: Contents) -> None:
    expected = {name: attributes for queue in TOPOLOGY.queues for name, attributes in _expected(queue).items()}

    assert set(made.queues) == set(expected)
    for name, attributes in expected.items():
        found = {key: made.queues[name].get(key) for key in ("VisibilityTimeout", "MessageRetentionPeriod", "RedrivePolicy")}
        redrive = found.pop("RedrivePolicy")
        assert {**found, "RedrivePolicy": json.loads(redrive) if redrive else None} == attributes


def _expected(queue: QueuePolicy) -> dict[str, dict[str, Any]]:
    dead_letters = dead_letter_queue_name(PREFIX, queue.name)
    return {
        dead_letters: {
            "VisibilityTimeout": "30",
            "MessageRetentionPeriod": f"{queue.dead_letter_retention.total_seconds():.0f}",
            "RedrivePolicy": None,
        },
        queue_name(PREFIX, queue.name): {
            "VisibilityTimeout": f"{queue.visibility_timeout.total_seconds():.0f}",
            "MessageRetentionPeriod": f"{queue.retention.total_seconds():.0f}",
            "RedrivePolicy": {
                "deadLetterTargetArn": f"arn:aws:sqs:{REGION}:123456789012:{dead_letters}",
                "maxReceiveCount": queue.max_receive_count,
            },
        },
    }


def test_the_tables_are_those_of_the_topology(made: Contents) -> None:
    assert set(made.tables) == {table_name(PREFIX, policy.name) for policy in TOPOLOGY.tables}

    for policy in TOPOLOGY.tables:
        table = made.tables[table_name(PREFIX, policy.name)]
        types = {attribute["AttributeName"]: attribute["AttributeType"] for attribute in table["AttributeDefinitions"]}
        indexes = {index["IndexName"]: index for index in table.get("GlobalSecondaryIndexes", [])}
        assert table["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
        assert _keys(table) == [key.name for key in (policy.partition_key, policy.sort_key) if key]
        assert types == {key.name: key.type for key in policy.key_attributes()}
        assert {name: _keys(index) for name, index in indexes.items()} == {
            index.name: [index.partition_key.name, index.sort_key.name] for index in policy.indexes
        }
        assert {name: set(index["Projection"]["NonKeyAttributes"]) for name, index in indexes.items()} == {
            index.name: set(index.projected) for index in policy.indexes
        }


def _keys(description: dict[str, Any]) -> list[str]:
    return [key["AttributeName"] for key in sorted(description["KeySchema"], key=lambda key: str(key["KeyType"]))]


def test_the_buckets_are_those_of_the_topology(made: Contents) -> None:
    assert made.buckets == {bucket_name(PREFIX, policy.name) for policy in TOPOLOGY.buckets}


# -- what moto's CloudFormation drops -------------------------------------------------------------------------------
def test_template_and_provisioner_agree_on_the_time_to_live(dev: Templates, provisioned: str) -> None:
    dynamodb = client("dynamodb", provisioned)

    for name, table in dev.properties("AWS::DynamoDB::Table", "TableName").items():
        found = dynamodb.describe_time_to_live(TableName=name)["TimeToLiveDescription"]
        assert found == {"TimeToLiveStatus": "ENABLED", "AttributeName": table["TimeToLiveSpecification"]["AttributeName"]}


def test_template_and_provisioner_agree_on_when_objects_expire(dev: Templates, provisioned: str) -> None:
    s3 = client("s3", provisioned)

    for name, bucket in dev.properties("AWS::S3::Bucket", "BucketName").items():
        (found,) = s3.get_bucket_lifecycle_configuration(Bucket=name)["Rules"]
        (rule,) = bucket["LifecycleConfiguration"]["Rules"]
        expires = found.get("Expiration", {}).get("Days")
        assert (found["ID"], found["Status"], expires) == (rule["Id"], rule["Status"], rule.get("ExpirationInDays"))
        assert found["AbortIncompleteMultipartUpload"] == rule["AbortIncompleteMultipartUpload"]


def test_nothing_is_taken_out_that_moto_could_deploy() -> None:
    from moto.cloudformation.parsing import resource_class_from_type

    assert resource_class_from_type("AWS::SQS::Queue")
    assert {kind for kind in NOT_IN_MOTO if resource_class_from_type(kind)} == set()


# -- one number changes one thing -----------------------------------------------------------------------------------
CHANGED = max(TOPOLOGY.queues, key=lambda queue: queue.time_limit)
LONGER = replace(CHANGED, visibility_timeout=CHANGED.visibility_timeout + timedelta(seconds=7))
CHANGED_TOPOLOGY = replace(TOPOLOGY, queues=tuple(LONGER if queue is CHANGED else queue for queue in TOPOLOGY.queues))
BEFORE, AFTER = (int(queue.visibility_timeout.total_seconds()) for queue in (CHANGED, LONGER))


def test_a_changed_visibility_timeout_changes_one_number_in_one_template(dev: Templates, synthesise: Synthesise) -> None:
    changed = synthesise(CHANGED_TOPOLOGY, DEV)

    (path,) = (key for key, value in dev.messaging["Resources"].items() if _is_changed_queue(value))
    assert differences(dev.messaging, changed.messaging) == {("Resources", path, "Properties", "VisibilityTimeout"): (BEFORE, AFTER)}
    assert {name for name, template in dev.stacks.items() if template != changed.stacks[name]} == {"messaging"}


def _is_changed_queue(resource: Template) -> bool:
    name: object = resource["Properties"].get("QueueName")
    return name == queue_name(PREFIX, CHANGED.name)


@pytest.fixture
def provision_again(provisioned: str) -> Iterator[Callable[[Topology], None]]:
    def again(topology: Topology) -> None:
        provision(topology, name_prefix=PREFIX, region=REGION, endpoint_url=provisioned)

    yield again
    again(TOPOLOGY)


def test_a_changed_visibility_timeout_changes_one_attribute_of_one_provisioned_queue(
    provisioned: str, provision_again: Callable[[Topology], None]
) -> None:
    before = contents(provisioned)

    provision_again(CHANGED_TOPOLOGY)

    after = contents(provisioned)
    attribute = (queue_name(PREFIX, CHANGED.name), "VisibilityTimeout")
    assert differences(before.queues, after.queues) == {attribute: (str(BEFORE), str(AFTER))}
    assert differences(before.tables, after.tables) == {}
    assert before.buckets == after.buckets
