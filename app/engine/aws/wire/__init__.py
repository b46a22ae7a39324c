"""SQS and DynamoDB at a tenth of boto3's price, for the calls that every job makes.

Promise: no request is repeated behind the caller's back, and a failed one says whether it may have been carried out:
:class:`NotSent` was not, :class:`Unanswered` may have been, ``ClientError`` is the service's own answer.
Limit: the hot calls only; everything else is boto3. Waiting in a call cannot be cut short: a poll ends when SQS answers it.
Use: ``SqsClient(lambda: boto3.client("sqs"))`` in place of the client; threads share it, a forked child may go on with it.
Stores: nothing. Emits: the log line ``clock differs from that of aws``.
"""

from app.engine.aws.wire.dynamodb import DynamoClient
from app.engine.aws.wire.errors import NotSent, Unanswered
from app.engine.aws.wire.sqs import SqsClient

__all__ = ["DynamoClient", "NotSent", "SqsClient", "Unanswered"]
