"""The S3 buckets."""

from datetime import timedelta

from app.topology.policies import BucketPolicy

ARTIFACTS = BucketPolicy(
    name="artifacts",
    purpose="What tasks produce, and what is too large for a message or for an item of the ledger.",
    expire_after=timedelta(days=30),
)

BUCKETS = (ARTIFACTS,)
