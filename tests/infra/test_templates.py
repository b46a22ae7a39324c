"""What stands in the templates: safety and durability. That the numbers are right is test_one_truth.py's work."""

from typing import Any

import pytest

from app.topology import TOPOLOGY
from app.topology.naming import bucket_name, dead_letter_queue_name, queue_name, table_name
from tests.infra.templates import Template, Templates

PREFIX = "millrace-prod"


@pytest.fixture(params=["dev", "prod"])
def templates(request: pytest.FixtureRequest) -> Templates:
    chosen: Templates = request.getfixturevalue(request.param)
    return chosen


# -- queues ---------------------------------------------------------------------------------------------------------
def test_every_queue_of_the_topology_and_no_other_exists_with_its_dead_letters(prod: Templates) -> None:
    names = {make(PREFIX, queue.name) for queue in TOPOLOGY.queues for make in (queue_name, dead_letter_queue_name)}

    assert set(prod.properties("AWS::SQS::Queue", "QueueName")) == names


def test_every_queue_gives_up_into_its_own_dead_letters(templates: Templates) -> None:
    resources = templates.messaging["Resources"]
    queues = {r["Properties"]["QueueName"]: r["Properties"] for r in resources.values() if r["Type"] == "AWS::SQS::Queue"}

    for policy in TOPOLOGY.queues:
        name = next(name for name in queues if name.endswith(f"-{policy.name}"))
        redrive = queues[name]["RedrivePolicy"]
        target = resources[redrive["deadLetterTargetArn"]["Fn::GetAtt"][0]]["Properties"]["QueueName"]
        assert target == f"{name}-dead-letters"
        assert redrive["maxReceiveCount"] == policy.max_receive_count


def test_dead_letters_take_messages_from_their_own_queue_only(prod: Templates) -> None:
    queues = prod.properties("AWS::SQS::Queue", "QueueName")

    for policy in TOPOLOGY.queues:
        allowed = queues[dead_letter_queue_name(PREFIX, policy.name)]["RedriveAllowPolicy"]
        (source,) = allowed["sourceQueueArns"]
        assert allowed["redrivePermission"] == "byQueue"
        assert _joined(source) == f"arn:<AWS::Partition>:sqs:<AWS::Region>:<AWS::AccountId>:{queue_name(PREFIX, policy.name)}"


def _joined(value: Template) -> str:
    separator, parts = value["Fn::Join"]
    joined: str = separator.join(part if isinstance(part, str) else f"<{part['Ref']}>" for part in parts)
    return joined


def test_every_queue_is_encrypted(templates: Templates) -> None:
    assert all(queue["Properties"]["SqsManagedSseEnabled"] is True for queue in templates.resources("AWS::SQS::Queue"))


# -- tables ---------------------------------------------------------------------------------------------------------
def test_every_item_leaves_by_its_time_to_live(prod: Templates) -> None:
    tables = prod.properties("AWS::DynamoDB::Table", "TableName")

    assert {name: table["TimeToLiveSpecification"] for name, table in tables.items()} == {
        table_name(PREFIX, policy.name): {"AttributeName": policy.ttl_attribute, "Enabled": True} for policy in TOPOLOGY.tables
    }


def test_what_people_search_for_is_an_index_that_carries_what_they_read(prod: Templates) -> None:
    tables = prod.properties("AWS::DynamoDB::Table", "TableName")

    for policy in TOPOLOGY.tables:
        found = tables[table_name(PREFIX, policy.name)].get("GlobalSecondaryIndexes", [])
        assert found == [
            {
                "IndexName": index.name,
                "KeySchema": [
                    {"AttributeName": index.partition_key.name, "KeyType": "HASH"},
                    {"AttributeName": index.sort_key.name, "KeyType": "RANGE"},
                ],
                "Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": list(index.projected)},
            }
            for index in policy.indexes
        ]


def test_tables_are_encrypted_and_paid_per_request(templates: Templates) -> None:
    for table in templates.resources("AWS::DynamoDB::Table"):
        assert table["Properties"]["SSESpecification"] == {"SSEEnabled": True}
        assert table["Properties"]["BillingMode"] == "PAY_PER_REQUEST"


def test_prod_s_tables_can_be_restored_and_not_be_deleted(prod: Templates) -> None:
    for table in prod.resources("AWS::DynamoDB::Table"):
        assert table["Properties"]["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
        assert table["Properties"]["DeletionProtectionEnabled"] is True


# -- buckets --------------------------------------------------------------------------------------------------------
def test_buckets_are_private_encrypted_and_forget_what_expires(prod: Templates) -> None:
    buckets = prod.properties("AWS::S3::Bucket", "BucketName")
    assert set(buckets) == {bucket_name(PREFIX, policy.name) for policy in TOPOLOGY.buckets}

    for policy in TOPOLOGY.buckets:
        bucket = buckets[bucket_name(PREFIX, policy.name)]
        (encryption,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        (rule,) = bucket["LifecycleConfiguration"]["Rules"]
        assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
        assert len(bucket["PublicAccessBlockConfiguration"]) == 4
        assert bucket["OwnershipControls"] == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
        assert encryption["ServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}
        assert (rule["Status"], rule.get("ExpirationInDays")) == ("Enabled", policy.expire_after.days if policy.expire_after else None)
        assert rule["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": policy.unfinished_uploads_expire_after.days}


RESOURCE_POLICIES = ("AWS::SQS::QueuePolicy", "AWS::S3::BucketPolicy", "AWS::SNS::TopicPolicy")


# -- all of them ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("policy_type", "resource_type", "reference", "action"),
    [
        ("AWS::SQS::QueuePolicy", "AWS::SQS::Queue", "Queues", "sqs:*"),
        ("AWS::S3::BucketPolicy", "AWS::S3::Bucket", "Bucket", "s3:*"),
        ("AWS::SNS::TopicPolicy", "AWS::SNS::Topic", "Topics", "sns:Publish"),
    ],
)
def test_plain_http_is_denied_everywhere(templates: Templates, policy_type: str, resource_type: str, reference: str, action: str) -> None:
    guarded = set()
    for properties, statement in templates.statements(policy_type):
        if statement["Effect"] == "Deny":
            assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
            assert statement["Principal"] in ("*", {"AWS": "*"})
            assert statement["Action"] == action
            references = properties[reference] if isinstance(properties[reference], list) else [properties[reference]]
            guarded |= {one["Ref"] for one in references}

    existing = {key for template in templates.all() for key, resource in template["Resources"].items() if resource["Type"] == resource_type}
    assert guarded == existing


#: AWS defines no resource for these: https://docs.aws.amazon.com/service-authorization/latest/reference/
WITHOUT_RESOURCE = {
    "cloudwatch:GetMetricData",
    "ecr:GetAuthorizationToken",
    # A shell is opened through a channel of its own.
    *(f"ssmmessages:{verb}{channel}Channel" for verb in ("Create", "Open") for channel in ("Control", "Data")),
}
#: These it limits by a condition, which the test asks for.
BY_CONDITION = {"cloudwatch:PutMetricData": "cloudwatch:namespace"}


def test_no_action_is_allowed_by_a_wildcard(templates: Templates) -> None:
    for kind in (*RESOURCE_POLICIES, "AWS::IAM::Policy", "AWS::IAM::ManagedPolicy"):
        for _, statement in templates.statements(kind):
            if statement["Effect"] == "Allow":
                assert "*" not in "".join(_listed(statement["Action"]))


def test_nothing_is_allowed_on_everything_but_what_aws_cannot_limit(templates: Templates) -> None:
    for kind in (*RESOURCE_POLICIES, "AWS::IAM::Policy", "AWS::IAM::ManagedPolicy"):
        for _, statement in templates.statements(kind):
            if statement["Effect"] == "Allow" and "*" in _listed(statement["Resource"]):
                conditions = {key for keys in statement.get("Condition", {}).values() for key in keys}
                for action in _listed(statement["Action"]):
                    assert action in WITHOUT_RESOURCE or BY_CONDITION[action] in conditions


def _listed(value: Any) -> list[str]:
    return value if isinstance(value, list) else [value]


@pytest.mark.parametrize("cloudformation_type", ["AWS::SQS::Queue", "AWS::DynamoDB::Table", "AWS::S3::Bucket"])
def test_what_holds_data_survives_its_stack_in_prod_and_not_in_dev(dev: Templates, prod: Templates, cloudformation_type: str) -> None:
    def fates(templates: Templates) -> set[str]:
        return {resource[key] for resource in templates.resources(cloudformation_type) for key in ("DeletionPolicy", "UpdateReplacePolicy")}

    assert fates(prod) == {"Retain"}
    assert fates(dev) == {"Delete"}


def test_everything_that_can_be_is_tagged_with_its_stage(prod: Templates) -> None:
    for kind in ("AWS::SQS::Queue", "AWS::DynamoDB::Table", "AWS::S3::Bucket", "AWS::SNS::Topic", "AWS::CloudWatch::Alarm"):
        for resource in prod.resources(kind):
            assert {"Key": "Stage", "Value": "prod"} in resource["Properties"]["Tags"]
            assert {"Key": "Application", "Value": "millrace"} in resource["Properties"]["Tags"]


def test_addresses_and_names_are_outputs(prod: Templates) -> None:
    without_services = (prod.messaging, prod.state, prod.observability)
    values = [output["Value"] for template in without_services for output in template["Outputs"].values()]
    outputs = [value["Ref"] for value in values if isinstance(value, dict) and "Ref" in value]
    wanted = ("AWS::SQS::Queue", "AWS::DynamoDB::Table", "AWS::S3::Bucket", "AWS::SNS::Topic")

    assert set(outputs) == {
        key for template in without_services for key, resource in template["Resources"].items() if resource["Type"] in wanted
    }
    assert len(outputs) == len(set(outputs))


def test_what_holds_messages_and_items_differs_between_stages_in_names_and_safety_only(dev: Templates, prod: Templates) -> None:
    for name in ("messaging", "state", "observability"):
        assert set(dev.stacks[name]["Resources"]) == set(prod.stacks[name]["Resources"])
