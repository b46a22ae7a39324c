"""Receiving that cannot die: every failure of a poll is an empty answer and a pause."""

import random
from collections.abc import Callable
from typing import Any

import pycurl
from kombu.asynchronous.aws.connection import AsyncHTTPSConnection
from kombu.asynchronous.aws.sqs.connection import AsyncSQSConnection
from kombu.utils.encoding import bytes_to_str

CONNECT_TIMEOUT_SECONDS = 5
#: On top of the long poll itself, for an answer that is on its way.
ANSWER_MARGIN_SECONDS = 10
#: Never silent for longer, so that a healed SQS is noticed within seconds.
LONGEST_PAUSE_SECONDS = 5.0


class PollFailures:
    """Failures in a row, and how long to wait because of them (full jitter, so that workers do not return in step)."""

    def __init__(self, draw: Callable[[float, float], float] = random.uniform) -> None:
        self._draw = draw
        self._in_a_row = 0

    def failed(self) -> bool:
        """Count one more; true for the first of a row, which is the one to log."""
        self._in_a_row += 1
        return self._in_a_row == 1

    def succeeded(self) -> bool:
        """End the row; true if there was one."""
        was_failing, self._in_a_row = self._in_a_row > 0, 0
        return was_failing

    @property
    def pause_seconds(self) -> float:
        if not self._in_a_row:
            return 0.0
        return self._draw(0.05, min(LONGEST_PAUSE_SECONDS, 0.25 * 2.0 ** min(self._in_a_row, 10)))


class TimedConnection(AsyncHTTPSConnection):
    """kombu sets no curl time-out at all: a black hole would keep a poll for ever."""

    def __init__(self, wait_time_seconds: int, **options: Any) -> None:
        super().__init__(**options)
        self._wait_time_seconds = wait_time_seconds

    def getrequest(self) -> Any:
        request = super().getrequest()

        def prepare(curl: pycurl.Curl) -> None:
            curl.setopt(pycurl.CONNECTTIMEOUT, CONNECT_TIMEOUT_SECONDS)
            curl.setopt(pycurl.TIMEOUT, self._wait_time_seconds + ANSWER_MARGIN_SECONDS)
            curl.setopt(pycurl.TCP_KEEPALIVE, 1)
            curl.setopt(pycurl.NOSIGNAL, 1)

        request.on_prepare = prepare
        return request


class Unsent:
    """Stands for the answer to a request that could not even be signed."""

    status = AsyncSQSConnection.STATUS_CODE_NETWORK_CONNECT_TIMEOUT_ERROR

    def __init__(self, reason: str) -> None:
        self.reason = reason

    def read(self) -> bytes:
        return b""


class Poller(AsyncSQSConnection):
    """Answers an empty receive where kombu raises into the event loop, and reports each outcome."""

    def __init__(self, wait_time_seconds: int, on_failure: Callable[[str], None], on_success: Callable[[], None], **options: Any) -> None:
        super().__init__(**options)
        self._wait_time_seconds = wait_time_seconds
        self._on_failure = on_failure
        self._on_success = on_success

    def make_request(self, operation_name: str, params: Any, queue_url: str, verb: str, callback: Any, protocol_params: Any = None) -> Any:
        """Sign and send. Signing may fail, too: the credentials of an ECS task come from an endpoint of their own."""
        try:
            return super().make_request(operation_name, params, queue_url, verb, callback, protocol_params)
        except Exception as error:  # noqa: BLE001 — whatever botocore's credential providers raise
            callback(Unsent(f"not sent: {error!r}"))
            return callback

    def get_http_connection(self) -> TimedConnection:
        return TimedConnection(self._wait_time_seconds, http_client=self._httpclient)

    def _on_list_ready(self, parent: Any, markers: Any, operation: str, response: Any) -> dict[str, Any]:
        if response.status != self.STATUS_CODE_OK:
            self._on_failure(f"HTTP {response.status} {response.reason} {bytes_to_str(response.read() or b'')[:300]}".strip())
            return {}
        try:
            answer: dict[str, Any] = super()._on_list_ready(parent, markers, operation, response)
        except Exception as error:  # noqa: BLE001 — a 200 with garbage: botocore raises whatever its parser met
            self._on_failure(f"unreadable answer: {error!r}")
            return {}
        self._on_success()
        return answer
