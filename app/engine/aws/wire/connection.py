"""One process's way to one service: where, as whom, and over which connections."""

import logging
import os
import random
import time
from collections.abc import Callable, Sequence
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from app.engine.aws.wire.curl import Answer, Http
from app.engine.aws.wire.errors import NotSent, Unanswered, client_error, may_be_the_clock, was_not_accepted
from app.engine.aws.wire.signature import Credentials, Signer
from app.engine.aws.wire.together import TogetherHttp

logger = logging.getLogger(__name__)

#: Full jitter, so that callers whom the service turned away together do not come back together.
SHORTEST_PAUSE_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 0.4
#: AWS takes a request that is a few minutes off: less than this is no reason to distrust the clock.
TOLERATED_SKEW_SECONDS = 60.0


class Connection:
    """Signed requests to the service of a boto3 client, whose endpoint, region, credentials and certificates are used."""

    def __init__(self, boto: Any, connect_timeout: float, clock: Callable[[], float]) -> None:
        # Loaded with boto3, which is there by now.
        from botocore.httpsession import DEFAULT_CA_BUNDLE, get_cert_path

        self._boto = boto
        self._url: str = boto.meta.endpoint_url
        self._credentials = boto._request_signer._credentials
        self._signer = Signer(url=self._url, region=boto.meta.region_name, service=boto.meta.service_model.signing_name)
        self._clock = clock
        self._skew = 0.0
        certificates = get_cert_path(boto._endpoint.http_session._verify)
        # False would be "do not check". There is no such choice here.
        self.http = Http(connect_timeout=connect_timeout, certificates=certificates or DEFAULT_CA_BUNDLE)
        self.together = TogetherHttp(connect_timeout=connect_timeout, certificates=certificates or DEFAULT_CA_BUNDLE)

    def validate(self, operation: str, parameters: dict[str, Any]) -> None:
        """Raise botocore's ``ParamValidationError`` if it would."""
        from botocore.validate import validate_parameters

        validate_parameters(parameters, self._boto.meta.service_model.operation_model(operation).input_shape)

    def ask(self, operation: str, target: str, body: bytes, timeout: float, limit: int) -> bytes:
        """One request and the body of its good answer; two, if the first was refused because our clock is wrong.

        Raises ``ClientError`` for any other answer, and what :meth:`~app.engine.aws.wire.curl.Http.post` raises.
        """
        skew = self._skew
        answer = self._post(target, body, timeout, limit, skew)
        if is_good(answer):
            return answer.body
        error = self._error(operation, answer)
        if may_be_the_clock(error) and self._set_clock(answer, skew):
            answer = self._post(target, body, timeout, limit, self._skew)
            if is_good(answer):
                return answer.body
            error = self._error(operation, answer)
        raise error

    def ask_together(self, operation: str, target: str, bodies: Sequence[bytes], timeout: float, limit: int) -> "list[bytes | Exception]":
        """Several requests at once, and the body of each good answer, or what :meth:`ask` would raise. Each is sent once."""
        now, credentials = self._clock() + self._skew, self._frozen_credentials()
        requests = [(self._signer.headers(target, body, credentials, now), body) for body in bodies]
        return [
            outcome if isinstance(outcome, NotSent | Unanswered) else outcome.body if is_good(outcome) else self._error(operation, outcome)
            for outcome in self.together.post(self._url, requests, timeout, limit)
        ]

    def _post(self, target: str, body: bytes, timeout: float, limit: int, skew: float) -> Answer:
        headers = self._signer.headers(target, body, self._frozen_credentials(), self._clock() + skew)
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

    def _error(self, operation: str, answer: Answer) -> ClientError:
        return client_error(operation, answer.status, answer.headers, answer.body, self._boto.exceptions.from_code)

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
        logger.warning("clock differs from that of aws", extra={"seconds": round(corrected)})
        return True


class LeanClient:
    """boto3's face; the lean calls are a subclass's, any other method or attribute is boto3's own.

    ``boto`` returns the service's client of the calling process. Its retries, time-outs, proxies and event handlers are not
    used. Credentials that it did not find when it was made are not looked for again. Threads may share this object, and a
    forked child may go on with it, on connections of its own.

    A call cannot be interrupted: signal handlers wait for its answer.
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
        self._connections: dict[int, Connection] = {}

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # of ours, and missing: copy and pickle ask before there is a _boto
            raise AttributeError(name)
        return getattr(self._boto(), name)

    def close(self) -> None:
        """Close this process's idle connections; the next call opens one."""
        if connection := self._connections.get(os.getpid()):
            connection.http.close()
            connection.together.close()

    def _connection(self) -> Connection:
        return self._connections.get(os.getpid()) or self._open()

    def _ask(self, connection: Connection, operation: str, target: str, body: bytes, *, timeout: float, limit: int, attempts: int) -> bytes:
        """:meth:`Connection.ask`, again while nothing was accepted, at most ``attempts`` times."""
        attempt = 1
        while True:
            try:
                return connection.ask(operation, target, body, timeout, limit)
            except (NotSent, ClientError) as error:
                if attempt == attempts or not (isinstance(error, NotSent) or was_not_accepted(error)):
                    raise
            attempt += 1
            self._pause(random.uniform(SHORTEST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS))  # noqa: S311 — jitter

    def _open(self) -> Connection:
        try:
            boto = self._boto()
        except BotoCoreError as error:
            # Among others the endpoint of the task's role, which may be there again a moment later.
            raise NotSent(f"Nothing was sent: there is no client: {error}") from error
        # Threads may come here together; one of their connections stays.
        return self._connections.setdefault(os.getpid(), Connection(boto, self._connect_timeout, self._clock))


def is_good(answer: Answer) -> bool:
    return HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES
