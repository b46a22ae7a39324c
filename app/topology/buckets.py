"""The S3 buckets."""

from datetime import timedelta

from app.topology.policies import BucketPolicy

ARTIFACTS = BucketPolicy(
    name="artifacts",
    purpose="What tasks produce, and what is too large for a message or for an item of the ledger.",
    expire_after=timedelta(days=30),
)

FILES = BucketPolicy(
    name="files",
    purpose="Django's storage: what people upload, and what is made for them. Kept until the application deletes it.",
)

#: Where in the artifacts bodies of messages lie, and where results.
CLAIM_CHECKS = "claim-checks/"
RESULTS = "results/"

BUCKETS = (ARTIFACTS, FILES)
