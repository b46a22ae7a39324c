"""A DynamoDB table."""

from aws_cdk import CfnOutput, RemovalPolicy
from aws_cdk import aws_dynamodb as dynamodb
from constructs import Construct

from app.topology import KeyAttribute, KeyType, TablePolicy
from app.topology.naming import table_name

_TYPES = {KeyType.STRING: dynamodb.AttributeType.STRING, KeyType.NUMBER: dynamodb.AttributeType.NUMBER}


def _attribute(key: KeyAttribute) -> dynamodb.Attribute:
    return dynamodb.Attribute(name=key.name, type=_TYPES[key.type])


class StateTable(Construct):
    """Paid per request, encrypted with the account's DynamoDB key; items leave by their time to live.

    ``Table`` and not ``TableV2``: we use one region, and the simulated AWS of the tests cannot deploy a global table.
    CloudFormation adds or removes one index per update: a policy that gains two needs two deployments.
    """

    def __init__(
        self,
        scope: Construct,
        *,
        policy: TablePolicy,
        name_prefix: str,
        removal: RemovalPolicy,
        is_protected: bool,
        has_point_in_time_recovery: bool,
    ) -> None:
        super().__init__(scope, policy.name)
        self.table = dynamodb.Table(
            self,
            "Table",
            table_name=table_name(name_prefix, policy.name),
            partition_key=_attribute(policy.partition_key),
            sort_key=_attribute(policy.sort_key) if policy.sort_key else None,
            billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
            time_to_live_attribute=policy.ttl_attribute,
            encryption=dynamodb.TableEncryption.AWS_MANAGED,
            point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
                point_in_time_recovery_enabled=has_point_in_time_recovery
            ),
            deletion_protection=is_protected,
            removal_policy=removal,
        )
        for index in policy.indexes:
            self.table.add_global_secondary_index(
                index_name=index.name,
                partition_key=_attribute(index.partition_key),
                sort_key=_attribute(index.sort_key),
                projection_type=dynamodb.ProjectionType.INCLUDE,
                non_key_attributes=list(index.projected),
            )
        CfnOutput(self, "TableName", value=self.table.table_name, description=policy.purpose)
