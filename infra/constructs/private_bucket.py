"""An S3 bucket."""

from aws_cdk import CfnOutput, Duration, RemovalPolicy
from aws_cdk import aws_s3 as s3
from constructs import Construct

from app.topology import BucketPolicy
from app.topology.naming import bucket_name


class PrivateBucket(Construct):
    """Private, encrypted, TLS only. Objects leave after the policy's ``expire_after``, if it has one, and uploads that never finished in any case.

    CloudFormation deletes an empty bucket only; empty it before you destroy a stage.
    """

    def __init__(self, scope: Construct, *, policy: BucketPolicy, name_prefix: str, removal: RemovalPolicy) -> None:
        super().__init__(scope, policy.name)
        expire_after = None if policy.expire_after is None else Duration.days(policy.expire_after.days)
        unfinished = Duration.days(policy.unfinished_uploads_expire_after.days)
        self.bucket = s3.Bucket(
            self,
            "Bucket",
            bucket_name=bucket_name(name_prefix, policy.name),
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            encryption=s3.BucketEncryption.S3_MANAGED,
            enforce_ssl=True,
            lifecycle_rules=[
                s3.LifecycleRule(id="expire", expiration=expire_after, abort_incomplete_multipart_upload_after=unfinished),
            ],
            removal_policy=removal,
        )
        CfnOutput(self, "BucketName", value=self.bucket.bucket_name, description=policy.purpose)
