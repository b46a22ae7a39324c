"""requests' adapter for one call: it connects where the address was checked, and nowhere else.

The host's name goes on being what the Host header, TLS and its certificate are about; only the socket is made for a checked address.
"""

import socket
from collections.abc import Sequence
from functools import partial
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError
from urllib3.util.connection import create_connection

from app.engine.outbound.deadline import Deadline


class Route:
    """The checked addresses of one hop, tried in order."""

    def __init__(self, addresses: Sequence[str], deadline: Deadline, connect_seconds: float) -> None:
        self._addresses = addresses
        self._deadline = deadline
        self._connect_seconds = connect_seconds

    def connect(self, connection: HTTPConnection) -> socket.socket:
        """Raises urllib3's errors of a connection that cannot be made."""
        failure: OSError | None = None
        for address in self._addresses:
            timeout = min(self._connect_seconds, self._deadline.seconds_left)
            if timeout <= 0:
                break
            try:
                sock = create_connection((address, connection.port), timeout, socket_options=connection.socket_options)
            except OSError as error:
                failure = error
                continue
            self._deadline.cut_in_time(sock)
            return sock
        if failure is None or isinstance(failure, TimeoutError):
            raise ConnectTimeoutError(connection, f"no connection within {self._connect_seconds:g} s")
        raise NewConnectionError(connection, f"no connection: {failure}") from failure


class _PlainConnection(HTTPConnection):
    def __init__(self, *args: Any, route: Route, **options: Any) -> None:
        self._route = route
        super().__init__(*args, **options)

    def _new_conn(self) -> socket.socket:
        return self._route.connect(self)


class _TlsConnection(HTTPSConnection):
    def __init__(self, *args: Any, route: Route, **options: Any) -> None:
        self._route = route
        super().__init__(*args, **options)

    def _new_conn(self) -> socket.socket:
        return self._route.connect(self)


class CheckedAdapter(HTTPAdapter):
    """Of one hop. Retries nothing."""

    def __init__(self, route: Route) -> None:
        self._route = route
        super().__init__(max_retries=0, pool_connections=1, pool_maxsize=1)

    def get_connection_with_tls_context(self, *args: Any, **options: Any) -> Any:
        pool: Any = super().get_connection_with_tls_context(*args, **options)
        kind = _TlsConnection if pool.scheme == "https" else _PlainConnection
        pool.ConnectionCls = partial(kind, route=self._route)
        return pool
