"""HTTP by libcurl: one POST, sent at most once. Besides ``together.py`` the only module that knows which HTTP library this is.

At most once needs a word. On a connection that was kept alive and dies before the first byte of an answer, libcurl sends the
request again by itself, and the first one may have been carried out. It cannot if the body comes from a function that it has
no means to rewind, so the body comes from such a function. Then a connection that its server has closed must be noticed before
it is used, and libcurl looks only once a second: we look each time::

    connect ──▶ body read from us ──▶ answer
       │              │                 └─ failure: Unanswered (libcurl would repeat, cannot rewind, and says so)
       └──────────────┴─ failure before the last byte was read: NotSent, the server cannot have the whole request
"""

import ctypes
import select
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import pycurl

from app.engine.aws.wire import greenlets
from app.engine.aws.wire.errors import NotSent, Unanswered

#: A connection that was idle for longer is not used again: servers and gateways close such ones without a word.
IDLE_SECONDS = 15
#: Handles that wait for the next request. More were in use at once only for a moment.
IDLE_HANDLES = 32
KEEPALIVE_SECONDS = 30
MEBIBYTE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete answer of a server, whatever it says."""

    status: int
    raw_headers: bytes
    body: bytes

    @property
    def headers(self) -> dict[str, str]:
        """By their names in lower case. Read when asked for: good answers are not asked."""
        # A proxy's answer to CONNECT comes first; the last block is the server's.
        block = self.raw_headers.decode("iso-8859-1").strip().rpartition("\r\n\r\n")[2]
        lines = (line.partition(":") for line in block.split("\r\n")[1:])
        return {name.strip().lower(): value.strip() for name, _, value in lines}


class Http:
    """Connections of one process. Threads and greenlets may share it; a forked child needs one of its own.

    Certificates are always checked, against ``certificates`` (a file or a folder). A proxy is taken from the environment.
    Calls block their thread, with gevent their greenlet only. Signal handlers run after the call.
    """

    def __init__(self, *, connect_timeout: float, certificates: str) -> None:
        self._connect_timeout = connect_timeout
        self._certificates = certificates
        # Not one per thread: a thread that ends would leave its connection, and a signal handler that sends would use the
        # handle of the call which it interrupted. Last in, first out, so that few connections are busy and the rest age.
        self._idle: deque[Handle] = deque()
        self._run: Callable[[Callable[[], object]], object] = greenlets.NativeThreads().run if greenlets.are_used() else _run

    def post(self, url: str, headers: list[str], body: bytes, timeout: float, limit: int = 4 * MEBIBYTE) -> Answer:
        """Send one request and return its answer, of at most ``limit`` bytes. Raises :class:`NotSent` or :class:`Unanswered`."""
        try:
            handle = self._idle.pop()
        except IndexError:
            handle = Handle(self._connect_timeout, self._certificates)
        try:
            handle.load(url, headers, body, timeout, limit, fresh=handle.has_been_closed())
            self._run(handle.curl.perform)
        except pycurl.error as error:
            problem = handle.problem(url, *error.args)
            self._give_back(handle)
            raise problem from error
        except BaseException:
            # A greenlet was killed while its request goes on in the pool: nobody may use the handle, and it may go with its thread.
            let_go(handle.curl)
            raise
        answer = handle.answer()
        self._give_back(handle)
        return answer

    def close(self) -> None:
        """Close the idle connections. Only in the process that opened them."""
        while self._idle:
            self._idle.pop().close()

    def _give_back(self, handle: "Handle") -> None:
        if len(self._idle) < IDLE_HANDLES:
            handle.unload()
            self._idle.append(handle)
        else:
            handle.close()


class Handle:
    """A curl handle with the connection that it keeps, and the buffers that it reads and writes without a line of Python."""

    __slots__ = ("body", "curl", "headers", "sent", "set_up", "size")

    def __init__(self, connect_timeout: float, certificates: str) -> None:
        self.sent, self.headers, self.body = BytesIO(), BytesIO(), BytesIO()
        self.set_up: tuple[str, float, int] | None = None
        self.size = 0
        self.curl = curl = pycurl.Curl()
        # Whatever forgets a handle in a forked child must not close it: libcurl would say goodbye on the parent's connection.
        keep(curl)
        curl.setopt(pycurl.NOSIGNAL, 1)
        curl.setopt(pycurl.PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS)
        # HTTP/2 has repeats of its own.
        curl.setopt(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_1_1)
        curl.setopt(pycurl.CONNECTTIMEOUT_MS, int(connect_timeout * 1000))
        curl.setopt(pycurl.MAXAGE_CONN, IDLE_SECONDS)
        # The one that we look at is the one that is used.
        curl.setopt(pycurl.MAXCONNECTS, 1)
        curl.setopt(pycurl.TCP_NODELAY, 1)
        curl.setopt(pycurl.TCP_KEEPALIVE, 1)
        curl.setopt(pycurl.TCP_KEEPIDLE, KEEPALIVE_SECONDS)
        curl.setopt(pycurl.TCP_KEEPINTVL, KEEPALIVE_SECONDS)
        curl.setopt(pycurl.SSL_VERIFYPEER, 1)
        curl.setopt(pycurl.SSL_VERIFYHOST, 2)
        curl.setopt(pycurl.CAPATH if Path(certificates).is_dir() else pycurl.CAINFO, certificates)
        curl.setopt(pycurl.USERAGENT, "millrace")
        curl.setopt(pycurl.POST, 1)
        # No SEEKFUNCTION, on purpose: see the top.
        curl.setopt(pycurl.READFUNCTION, self.sent.read)
        curl.setopt(pycurl.HEADERFUNCTION, self.headers.write)
        curl.setopt(pycurl.WRITEFUNCTION, self.body.write)

    def load(self, url: str, headers: list[str], body: bytes, timeout: float, limit: int, *, fresh: bool = False) -> None:
        """Make ready for one request; ``fresh``: on a new connection."""
        curl = self.curl
        if self.set_up != (url, timeout, limit):
            curl.setopt(pycurl.URL, url)
            curl.setopt(pycurl.TIMEOUT_MS, int(timeout * 1000))
            curl.setopt(pycurl.MAXFILESIZE, limit)
            self.set_up = (url, timeout, limit)
        curl.setopt(pycurl.FRESH_CONNECT, fresh)
        # An empty "Expect:" keeps libcurl from asking first whether a large body is welcome, which costs a round trip.
        curl.setopt(pycurl.HTTPHEADER, [*headers, "Expect:"])
        curl.setopt(pycurl.POSTFIELDSIZE, len(body))
        self.size = len(body)
        self.sent.write(body)
        self.sent.seek(0)

    def answer(self) -> Answer:
        return Answer(self.curl.getinfo(pycurl.RESPONSE_CODE), self.headers.getvalue(), self.body.getvalue())

    def problem(self, url: str, code: int, reason: str) -> NotSent | Unanswered:
        """What there is to say when libcurl has failed."""
        if self.sent.tell() == self.size:
            return Unanswered(f"{url} may have carried the request out and did not answer: {reason} (curl {code})")
        return NotSent(f"The request was not, or not wholly, sent to {url}: {reason} (curl {code})")

    def has_been_closed(self) -> bool:
        """Whether there is something to read on the idle connection: its end, or what no request asked for."""
        descriptor = self.curl.getinfo(pycurl.ACTIVESOCKET)
        if descriptor < 0:
            return False
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        return bool(poll.poll(0))

    def unload(self) -> None:
        for buffer in (self.sent, self.headers, self.body):
            buffer.seek(0)
            buffer.truncate()

    def close(self) -> None:
        let_go(self.curl)
        self.curl.close()


def _run(call: Callable[[], object]) -> None:
    call()


def keep(curl: Any) -> None:
    """Hold a reference that is nobody's: neither a lost variable nor the end of the interpreter finalizes the object."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(curl))


def let_go(curl: Any) -> None:
    ctypes.pythonapi.Py_DecRef(ctypes.py_object(curl))
