"""The client of SQS: boto3's face, seven calls of our own behind it."""

from typing import Any

from app.engine.aws.wire import sqs_operations as operations
from app.engine.aws.wire.connection import LeanClient
from app.engine.aws.wire.curl import MEBIBYTE
from app.engine.aws.wire.sqs_operations import Operation

#: A receive that does not say how long it waits waits for as long as its queue says, at most so long.
LONGEST_WAIT_SECONDS = 20
MOST_MESSAGES = 10
#: A message of one MiB, with every character escaped, and its attributes.
BYTES_PER_MESSAGE = 4 * MEBIBYTE


class SqsClient(LeanClient):
    """boto3's SQS client with seven lean calls.

    The seven take and return what boto3's do, without ``ResponseMetadata`` in a good answer. They raise ``ClientError`` and
    ``ParamValidationError`` as boto3 does, else :class:`NotSent` or :class:`Unanswered`. A send that SQS turned away, or that
    never left, is tried three times; nothing else is repeated, and nothing whose fate is unknown.

    :meth:`receive_message` returns when SQS answers, up to ``WaitTimeSeconds`` later. Whoever has to stop lets the poll end
    and gives back what it brought.
    """

    def send_message(self, **parameters: Any) -> dict[str, Any]:
        return self._call(operations.SEND_MESSAGE, parameters)

    def send_message_batch(self, **parameters: Any) -> dict[str, Any]:
        return self._call(operations.SEND_MESSAGE_BATCH, parameters)

    def receive_message(self, **parameters: Any) -> dict[str, Any]:
        """Poll once. An answer that is lost on its way hides its messages for one visibility timeout: the poll is not repeated."""
        # Types are checked later: what is no number is not to fail here.
        wait = parameters.get("WaitTimeSeconds", LONGEST_WAIT_SECONDS)
        wait = min(max(wait, 0), LONGEST_WAIT_SECONDS) if isinstance(wait, int) else 0
        most = parameters.get("MaxNumberOfMessages", 1)
        most = min(max(most, 1), MOST_MESSAGES) if isinstance(most, int) else 1
        return self._call(operations.RECEIVE_MESSAGE, parameters, wait=wait, limit=most * BYTES_PER_MESSAGE)

    def delete_message(self, **parameters: Any) -> dict[str, Any]:
        return self._call(operations.DELETE_MESSAGE, parameters)

    def delete_message_batch(self, **parameters: Any) -> dict[str, Any]:
        return self._call(operations.DELETE_MESSAGE_BATCH, parameters)

    def change_message_visibility(self, **parameters: Any) -> dict[str, Any]:
        return self._call(operations.CHANGE_MESSAGE_VISIBILITY, parameters)

    def change_message_visibility_batch(self, **parameters: Any) -> dict[str, Any]:
        return self._call(operations.CHANGE_MESSAGE_VISIBILITY_BATCH, parameters)

    def _call(self, operation: Operation, parameters: dict[str, Any], *, wait: int = 0, limit: int = BYTES_PER_MESSAGE) -> dict[str, Any]:
        connection = self._connection()
        if not operation.is_surely_valid(parameters):
            connection.validate(operation.name, parameters)
        body = operation.write(parameters)
        answer = self._ask(
            connection,
            operation.name,
            operation.target,
            body,
            timeout=self._answer_timeout + wait,
            limit=limit,
            attempts=operation.attempts,
        )
        return operation.read_answer(answer)
