"""Bodies too large for a message go to S3, encrypted; the message carries the claim.

    put ──large──▶ object written ──▶ message with header claim_check = {bucket, key}
    received ──▶ object read ──▶ run ──▶ message deleted ──▶ object deleted
                    ├─ S3 is away ──▶ message put off, as often as it takes
                    └─ no such object ──▶ given back; the redrive policy counts

Limit: a message that goes to the dead letters keeps its object; the bucket's lifecycle ends what nobody claims, so it
must be longer than the queues' retention. Source of the pattern: Hohpe and Woolf, Enterprise Integration Patterns.
"""

import logging
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from botocore.exceptions import BotoCoreError, ClientError

from app.engine.aws.errors import is_transient
from app.engine.broker.options import LARGEST_MESSAGE_BYTES, ClaimCheckOptions
from app.engine.errors import TransientError

logger = logging.getLogger(__name__)

HEADER = "claim_check"
#: A claim may not make a worker read without end.
LARGEST_BODY_BYTES = 64 * 1024 * 1024
#: A worker's receiver waits for a body. If S3 hangs, it waits once and not for each body in turn.
AWAY_SECONDS = 10.0


class BodyOutOfReach(TransientError):
    """S3 did not answer, or could not, now or a moment ago. The body may well be there."""


class ClaimRefused(Exception):
    """The claim names another bucket than ours, or what is no body: too large, or no text."""


class ClaimChecks:
    """Puts, gets and deletes bodies. ``client()`` is S3's; its errors are botocore's."""

    def __init__(self, options: ClaimCheckOptions, client: Callable[[], Any], clock: Callable[[], float] = time.monotonic) -> None:
        self._options = options
        self._client = client
        self._clock = clock
        self._away_until = 0.0

    def is_needed(self, body: str, message_bytes: int) -> bool:
        most = self._options.larger_than_bytes
        # A character is at most four bytes: most bodies need no second count.
        is_large = len(body) > most or (len(body) * 4 > most and len(body.encode("utf-8", "surrogatepass")) > most)
        return is_large or message_bytes > min(LARGEST_MESSAGE_BYTES, most * 2)

    def put(self, body: str, queue: str, task_id: str) -> dict[str, str]:
        """Write the body and return the claim."""
        day = datetime.now(UTC).strftime("%Y-%m-%d")
        key = f"{self._options.prefix}{queue}/{day}/{task_id}-{uuid4().hex}"
        encryption = (
            {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": self._options.kms_key_id}
            if self._options.kms_key_id
            else {"ServerSideEncryption": "AES256"}
        )
        self._client().put_object(Bucket=self._options.bucket, Key=key, Body=body.encode(), ContentType="application/json", **encryption)
        return {"bucket": self._options.bucket, "key": key}

    def get(self, claim: Any) -> str:
        """Read a body.

        Raises :class:`ClaimRefused` for a claim that is not one of ours, :class:`BodyOutOfReach`, and botocore's ``ClientError``
        if S3 has no such object or will not give it to us.
        """
        key = self.key_of(claim)
        if self._clock() < self._away_until:
            raise BodyOutOfReach("S3 could not be asked a moment ago.")
        try:
            body = self._read(key)
        except (ClientError, BotoCoreError, OSError) as error:
            if not is_transient(error):
                raise
            self._away_until = self._clock() + AWAY_SECONDS
            raise BodyOutOfReach(str(error)) from error
        try:
            return body.decode()
        except UnicodeDecodeError as error:
            raise ClaimRefused(f"The body is not UTF-8: {error}.") from error

    def _read(self, key: str) -> bytes:
        answer = self._client().get_object(Bucket=self._options.bucket, Key=key)
        # Closed whatever happens: a connection with an unread body does not go back to its pool.
        with closing(answer["Body"]) as stream:
            if answer["ContentLength"] > LARGEST_BODY_BYTES:
                raise ClaimRefused(f"The body has {answer['ContentLength']} bytes; {LARGEST_BODY_BYTES} are allowed.")
            body: bytes = stream.read()
            return body

    def key_of(self, claim: Any) -> str:
        """An envelope may not make us read, or delete, whatever it likes."""
        if not isinstance(claim, dict) or claim.get("bucket") != self._options.bucket:
            raise ClaimRefused("The claim names another bucket than ours.")
        key = claim.get("key")
        if not isinstance(key, str) or not key.startswith(self._options.prefix):
            raise ClaimRefused("The claim names an object that is no message body.")
        return key

    def delete(self, key: str) -> None:
        """Remove the body of a finished job. What fails here is left to the bucket's lifecycle."""
        try:
            self._client().delete_object(Bucket=self._options.bucket, Key=key)
        except Exception as error:  # noqa: BLE001 — nothing depends on it
            logger.info("claim check not deleted", extra={"key": key, "reason": str(error)[:200]})
