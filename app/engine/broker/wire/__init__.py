"""SQS at a tenth of boto3's price, for the seven calls that every message makes.

Promise: no request is repeated behind the caller's back, and a failed one says whether it may have been carried out:
:class:`NotSent` was not, :class:`Unanswered` may have been, ``ClientError`` is SQS's own answer.
Limit: these seven only; everything else is boto3. Waiting in a call cannot be cut short: a poll ends when SQS answers it.
Use: ``SqsClient(lambda: boto3.client("sqs"))`` in place of the client; threads share it, a forked child may go on with it.
Stores: nothing. Emits: the log line ``clock differs from that of sqs``.
"""

from app.engine.broker.wire.client import SqsClient
from app.engine.broker.wire.errors import NotSent, Unanswered

__all__ = ["NotSent", "SqsClient", "Unanswered"]
