"""Results too large for an item go to S3, encrypted; the item carries the claim.

    stored ──large──▶ object written ──▶ item with its key ──read──▶ object read
    item expired, or replaced ──▶ object left to the bucket's lifecycle

Limit: the lifecycle must be longer than results live; an object that is gone is an error for whoever asks for the result, not for others.
Source of the pattern: Hohpe and Woolf, Enterprise Integration Patterns.
"""

from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from kombu.exceptions import EncodeError

from app.engine.aws import clients
from app.engine.conf import EngineSettings
from app.topology.buckets import ARTIFACTS, RESULTS
from app.topology.naming import bucket_name

#: Characters, each of four bytes at most: what has no more surely fits into an item of 400 KB, and travels from a child to its worker.
LARGEST_IN_AN_ITEM = 90_000
#: A result may not make its reader read without end.
LARGEST_BYTES = 64 * 1024 * 1024


class LargeResults:
    """Puts and gets texts. ``client()`` is S3's; its errors are botocore's."""

    def __init__(self, settings: EngineSettings, client: Callable[[], Any] | None = None) -> None:
        self._bucket = bucket_name(settings.name_prefix, ARTIFACTS.name)
        self._client = client or (lambda: clients.s3(settings))

    @staticmethod
    def is_needed(text: str) -> bool:
        return len(text) > LARGEST_IN_AN_ITEM

    def put(self, name: str, text: str) -> str:
        """Write the text and return its key. Raises kombu's ``EncodeError`` for more than 64 MiB, which is then the task's own failure."""
        body = text.encode("utf-8", "backslashreplace")
        if len(body) > LARGEST_BYTES:
            raise EncodeError(f"The result has {len(body):,} bytes; 64 MiB are allowed. Write it to S3 yourself and return where it is.")
        key = f"{RESULTS}{datetime.now(UTC):%Y-%m-%d}/{name}-{uuid4().hex}"
        self._client().put_object(Bucket=self._bucket, Key=key, Body=body, ContentType="application/json", ServerSideEncryption="AES256")
        return key

    def get(self, key: str) -> str:
        """Raises botocore's ``ClientError`` if there is no such object any more."""
        answer = self._client().get_object(Bucket=self._bucket, Key=key)
        # Closed whatever happens: a connection with an unread body does not go back to its pool.
        with closing(answer["Body"]) as stream:
            text: str = stream.read().decode()
            return text
