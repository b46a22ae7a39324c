"""The client: boto3's face, seven calls of our own behind it."""

import logging
import os
import random
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from app.engine.broker.wire import operations
from app.engine.broker.wire.curl import MEBIBYTE, Answer, Http
from app.engine.broker.wire.errors import NotSent, client_error, may_be_the_clock, was_not_accepted
from app.engine.broker.wire.operations import Operation
from app.engine.broker.wire.signature import Credentials, Signer

logger = logging.getLogger(__name__)

#: Full jitter, so that producers whom SQS turned away together do not come back together.
SHORTEST_PAUSE_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 0.4
#: AWS takes a request that is a few minutes off: less than this is no reason to distrust the clock.
TOLERATED_SKEW_SECONDS = 60.0
#: A receive that does not say how long it waits waits for as long as its queue says, at most so long.
LONGEST_WAIT_SECONDS = 20
MOST_MESSAGES = 10
#: A message of one MiB, with every character escaped, and its attributes.
BYTES_PER_MESSAGE = 4 * MEBIBYTE


class SqsClient:
    """boto3's SQS client with seven lean calls; any other method or attribute is boto3's own.

    The seven take and return what boto3's do, without ``ResponseMetadata`` in a good answer. They raise ``ClientError`` and
    ``ParamValidationError`` as boto3 does, else :class:`NotSent` or :class:`Unanswered`. A send that SQS turned away, or that
    never left, is tried three times; nothing else is repeated, and nothing whose fate is unknown.

    ``boto`` returns the SQS client of the calling process. Its endpoint, region, credentials and certificates are used;
    its retries, time-outs, proxies and event handlers are not. Credentials that it did not find when it was made are not
    looked for again. Threads may share this object, and a forked child may go on with it, on connections of its own.

    A call cannot be interrupted: :meth:`receive_message` returns when SQS answers, up to ``WaitTimeSeconds`` later, and
    signal handlers wait for that. Whoever has to stop lets the poll end and gives back what it brought.
    """

    def __init__(
        self,
        boto: Callable[[], Any],
        *,
        connect_timeout: float = 3.0,
        answer_timeout: float = 10.0,
        clock: Callable[[], float] = time.time,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._boto = boto
        self._connect_timeout = connect_timeout
        self._answer_timeout = answer_timeout
        self._clock = clock
        self._pause = pause
        # A child must neither use nor close its parent's connections: it finds nothing under its own id, and begins anew.
        self._wires: dict[int, _Wire] = {}

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # of ours, and missing: copy and pickle ask before there is a _boto
            raise AttributeError(name)
        return getattr(self._boto(), name)

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

    def close(self) -> None:
        """Close this process's idle connections; the next call opens one."""
        if wire := self._wires.get(os.getpid()):
            wire.http.close()

    def _call(self, operation: Operation, parameters: dict[str, Any], *, wait: int = 0, limit: int = BYTES_PER_MESSAGE) -> dict[str, Any]:
        wire = self._wires.get(os.getpid()) or self._open()
        if not operation.is_surely_valid(parameters):
            wire.validate(operation, parameters)
        body = operation.write(parameters)
        timeout = self._answer_timeout + wait
        attempt = 1
        while True:
            try:
                return wire.ask(operation, body, timeout, limit)
            except (NotSent, ClientError) as error:
                if attempt == operation.attempts or not (isinstance(error, NotSent) or was_not_accepted(error)):
                    raise
            attempt += 1
            self._pause(random.uniform(SHORTEST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS))  # noqa: S311 — jitter

    def _open(self) -> "_Wire":
        try:
            boto = self._boto()
        except BotoCoreError as error:
            # Among others the endpoint of the task's role, which may be there again a moment later.
            raise NotSent(f"Nothing was sent: there is no SQS client: {error}") from error
        # Threads may come here together; one of their wires stays.
        return self._wires.setdefault(os.getpid(), _Wire(boto, self._connect_timeout, self._clock))


class _Wire:
    """What one process needs to ask SQS: where, as whom, and over which connections."""

    def __init__(self, boto: Any, connect_timeout: float, clock: Callable[[], float]) -> None:
        # Loaded with boto3, which is there by now.
        from botocore.httpsession import DEFAULT_CA_BUNDLE, get_cert_path

        self._boto = boto
        self._url: str = boto.meta.endpoint_url
        self._credentials = boto._request_signer._credentials
        self._signer = Signer(url=self._url, region=boto.meta.region_name, service="sqs")
        self._clock = clock
        self._skew = 0.0
        certificates = get_cert_path(boto._endpoint.http_session._verify)
        # False would be "do not check". There is no such choice here.
        self.http = Http(connect_timeout=connect_timeout, certificates=certificates or DEFAULT_CA_BUNDLE)

    def validate(self, operation: Operation, parameters: dict[str, Any]) -> None:
        """Raise botocore's ``ParamValidationError`` if it would."""
        from botocore.validate import validate_parameters

        validate_parameters(parameters, self._boto.meta.service_model.operation_model(operation.name).input_shape)

    def ask(self, operation: Operation, body: bytes, timeout: float, limit: int) -> dict[str, Any]:
        """One request and its answer; two, if the first was refused because our clock is wrong."""
        skew = self._skew
        answer = self._post(operation, body, timeout, limit, skew)
        if is_good(answer):
            return operation.read_answer(answer.body)
        error = self._error(operation, answer)
        if may_be_the_clock(error) and self._set_clock(answer, skew):
            answer = self._post(operation, body, timeout, limit, self._skew)
            if is_good(answer):
                return operation.read_answer(answer.body)
            error = self._error(operation, answer)
        raise error

    def _post(self, operation: Operation, body: bytes, timeout: float, limit: int, skew: float) -> Answer:
        headers = self._signer.headers(operation.target, body, self._frozen_credentials(), self._clock() + skew)
        return self.http.post(self._url, headers, body, timeout, limit)

    def _frozen_credentials(self) -> Credentials:
        """The credentials of this moment; those of a role renew themselves here."""
        try:
            frozen: Credentials | None = self._credentials and self._credentials.get_frozen_credentials()
        except Exception as error:
            raise NotSent(f"Nothing was sent: the AWS credentials could not be renewed: {error!r}") from error
        if frozen is None or not frozen.access_key or not frozen.secret_key:
            raise NotSent("Nothing was sent: no AWS credentials. Give the task a role, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.")
        return frozen

    def _error(self, operation: Operation, answer: Answer) -> ClientError:
        return client_error(operation.name, answer.status, answer.headers, answer.body, self._boto.exceptions.from_code)

    def _set_clock(self, answer: Answer, skew: float) -> bool:
        """Take the time from an answer. True if it differs from ours, so that the same request may pass now."""
        try:
            theirs = parsedate_to_datetime(answer.headers["date"]).timestamp()
        except (KeyError, ValueError):
            return False
        corrected = theirs - self._clock()
        if abs(corrected - skew) < TOLERATED_SKEW_SECONDS:
            return False
        self._skew = corrected
        logger.warning("clock differs from that of sqs", extra={"seconds": round(corrected)})
        return True


def is_good(answer: Answer) -> bool:
    return HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES
