"""A TCP proxy that holds back what the server says."""

import asyncio


class Distance:
    """Bytes to the server pass at once; bytes from it arrive later by the latency, in order, however many are under way."""

    def __init__(self, host: str, port: int) -> None:
        self.latency_seconds = 0.0
        self._server = (host, port)
        self._loop = asyncio.get_running_loop()
        self._connecting: set[asyncio.Task[None]] = set()

    def connection(self) -> asyncio.Protocol:
        """For the client that just came."""
        return _Client(self)

    def connect(self, client: "_Client") -> None:
        connecting = self._loop.create_task(self._connect(client))
        self._connecting.add(connecting)
        connecting.add_done_callback(self._connecting.discard)

    async def _connect(self, client: "_Client") -> None:
        await self._loop.create_connection(lambda: _Server(self, client), *self._server)


class _Server(asyncio.Protocol):
    """The server's end."""

    def __init__(self, distance: Distance, client: "_Client") -> None:
        self._distance = distance
        self._client = client
        self._loop = asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 — narrows asyncio's type
        self._client.server_is_there(transport)

    def data_received(self, data: bytes) -> None:
        # Timers of one delay fire in the order in which they were set.
        self._loop.call_later(self._distance.latency_seconds, self._client.say, data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._loop.call_later(self._distance.latency_seconds, self._client.hang_up)


class _Client(asyncio.Protocol):
    """The client's end. What it says before the server is there waits for it."""

    def __init__(self, distance: Distance) -> None:
        self._distance = distance
        self._client: asyncio.Transport | None = None
        self._server: asyncio.Transport | None = None
        self._early = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 — narrows asyncio's type
        self._client = transport
        self._distance.connect(self)

    def server_is_there(self, server: asyncio.Transport) -> None:
        self._server = server
        server.write(self._early)
        if self._client is None or self._client.is_closing():
            server.close()

    def data_received(self, data: bytes) -> None:
        if self._server is None:
            self._early += data
        else:
            self._server.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._server is not None:
            self._server.close()

    def say(self, data: bytes) -> None:
        if self._client is not None and not self._client.is_closing():
            self._client.write(data)

    def hang_up(self) -> None:
        if self._client is not None:
            self._client.close()
