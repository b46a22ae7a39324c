"""A TCP proxy that breaks the network on demand."""

import contextlib
import socket
import threading
from enum import Enum
from urllib.parse import urlsplit

from tests.support.environment import free_port

#: Of the session's deployments, which live on while a unit test forbids the network to itself.
_connect = socket.socket.connect


class Network(Enum):
    HEALTHY = "bytes pass"
    REFUSED = "connections are refused, open ones are reset"
    SILENT = "connections are accepted and nothing is ever answered"


class FaultyNetwork:
    """Stands between clients and a server at ``address``; ``url`` is what clients are told."""

    def __init__(self, address: str) -> None:
        parts = urlsplit(address)
        self._target = (parts.hostname or "127.0.0.1", parts.port or 80)
        self._port = free_port()
        self._state = Network.HEALTHY
        self._lock = threading.Lock()
        self._listener: socket.socket | None = None
        self._open: set[socket.socket] = set()
        self._closed = False
        self.url = f"http://127.0.0.1:{self._port}"
        self._listen()

    def become(self, state: Network) -> None:
        """From now on, for new and open connections."""
        with self._lock:
            self._state = state
            if state is Network.REFUSED:
                self._hang_up()
            elif self._listener is None and not self._closed:
                self._listen()
            if state is Network.HEALTHY:
                # What was swallowed in silence will not be answered any more.
                for connection in list(self._open):
                    _close(connection)

    def close(self) -> None:
        with self._lock:
            self._closed = True
            self._hang_up()

    def _listen(self) -> None:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self._port))
        listener.listen(128)
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def _hang_up(self) -> None:
        if self._listener is not None:
            # close() alone leaves the port open while a thread blocks in accept().
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        for connection in list(self._open):
            _close(connection)

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            self._open.add(client)
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        server = socket.socket()
        try:
            _connect(server, self._target)
        except OSError:
            server.close()
            _close(client)
            return
        self._open.add(server)
        back = threading.Thread(target=self._pump, args=(server, client), daemon=True)
        back.start()
        self._pump(client, server)

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                if self._state is not Network.SILENT:
                    sink.sendall(data)
        except OSError:
            pass
        finally:
            for connection in (source, sink):
                _close(connection)
                self._open.discard(connection)


def _close(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()
