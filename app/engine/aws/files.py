"""Where Django's files lie: the bucket ``files`` of the topology."""

from typing import Any

from app.engine.conf import EngineSettings
from app.topology.buckets import FILES
from app.topology.naming import bucket_name

#: A hanging S3 holds whoever reads or writes a part of a file for no longer.
READ_TIMEOUT_SECONDS = 20
CONNECT_TIMEOUT_SECONDS = 3


def file_storage(settings: EngineSettings) -> dict[str, Any]:
    """The storage for Django's ``STORAGES``. Private: whoever may see a file is asked by the view that hands it out."""
    from boto3.s3.transfer import TransferConfig
    from botocore.config import Config

    return {
        "BACKEND": "storages.backends.s3.S3Storage",
        "OPTIONS": {
            "bucket_name": bucket_name(settings.name_prefix, FILES.name),
            "region_name": settings.region,
            "endpoint_url": settings.endpoint_url,
            "file_overwrite": False,
            # A file of any size goes eight megabytes at a time, and not ten times that.
            "transfer_config": TransferConfig(use_threads=False),
            "client_config": Config(
                connect_timeout=CONNECT_TIMEOUT_SECONDS,
                read_timeout=READ_TIMEOUT_SECONDS,
                retries={"mode": "standard", "total_max_attempts": 3},
                # Links are signed as every region takes it; the older way is botocore's choice in some.
                signature_version="s3v4",
                # A simulated S3 has no host name for each bucket.
                s3={"addressing_style": "path"} if settings.endpoint_url else None,
            ),
        },
    }
