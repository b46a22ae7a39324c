"""Several POSTs at once by one thread. Ten threads that each wait for one cost twice the CPU, and fight for the interpreter.

As in ``curl.py``, libcurl cannot repeat a request by itself, and we look whether kept connections were closed. Here it chooses
among them, so if one was, all are replaced.
"""

import select
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import pycurl

from app.engine.aws.wire import greenlets
from app.engine.aws.wire.curl import MEBIBYTE, Answer, Handle, keep, let_go
from app.engine.aws.wire.errors import NotSent, Unanswered

#: Sets of connections that wait for the next call. More were in use at once only for a moment.
IDLE_SETS = 8
LONGEST_LOOK_SECONDS = 0.2
#: libcurl has nothing to wait for, or something that select() cannot: a descriptor above 1,023.
SHORT_PAUSE_SECONDS = 0.002

Request = tuple[list[str], bytes]
"""Headers and body."""
Outcome = Answer | NotSent | Unanswered


class TogetherHttp:
    """Like :class:`~app.engine.aws.wire.curl.Http`, for a process of its own, and shared by threads and greenlets as that is."""

    def __init__(self, *, connect_timeout: float, certificates: str) -> None:
        self._connect_timeout = connect_timeout
        self._certificates = certificates
        self._idle: deque[_Set] = deque()
        self._run: Callable[[Callable[[], object]], object] = greenlets.NativeThreads().run if greenlets.are_used() else lambda call: call()

    def post(self, url: str, requests: Sequence[Request], timeout: float, limit: int = 4 * MEBIBYTE) -> list[Outcome]:
        """Send all and return what became of each, in order. Takes as long as the slowest."""
        connections = self._connections()
        outcomes: list[Outcome] = []
        # If a greenlet is killed meanwhile, the set goes on in its thread, and is nobody's.
        self._run(lambda: outcomes.extend(connections.post(url, requests, timeout, limit)))
        if len(self._idle) < IDLE_SETS:
            self._idle.append(connections)
        else:
            connections.close()
        return outcomes

    def _connections(self) -> "_Set":
        try:
            connections = self._idle.pop()
        except IndexError:
            return _Set(self._connect_timeout, self._certificates)
        if not connections.are_closed():
            return connections
        connections.close()
        return _Set(self._connect_timeout, self._certificates)

    def close(self) -> None:
        """Close the idle connections. Only in the process that opened them."""
        while self._idle:
            self._idle.pop().close()


class _Set:
    """Handles of one thread at a time, and the connections that libcurl keeps for them."""

    def __init__(self, connect_timeout: float, certificates: str) -> None:
        self._connect_timeout = connect_timeout
        self._certificates = certificates
        self._multi = pycurl.CurlMulti()
        keep(self._multi)
        self._handles: list[Handle] = []
        self._sockets: set[int] = set()

    def are_closed(self) -> bool:
        """Whether there is something to read on one of the connections: its end, or what no request asked for."""
        poll = select.poll()
        for descriptor in self._sockets:
            poll.register(descriptor, select.POLLIN)
        return bool(poll.poll(0))

    def post(self, url: str, requests: Sequence[Request], timeout: float, limit: int) -> list[Outcome]:
        while len(self._handles) < len(requests):
            self._handles.append(Handle(self._connect_timeout, self._certificates))
        outcomes: dict[Any, Outcome] = {}
        under_way: dict[Any, Handle] = {}
        for handle, (headers, body) in zip(self._handles, requests, strict=False):
            handle.load(url, headers, body, timeout, limit)
            under_way[handle.curl] = handle
            self._multi.add_handle(handle.curl)
        order = list(under_way)
        while under_way:
            self._multi.perform()
            _, good, bad = self._multi.info_read(len(order))
            for curl in good:
                outcomes[curl] = under_way[curl].answer()
                self._sockets.add(curl.getinfo(pycurl.ACTIVESOCKET))
            for curl, code, reason in bad:
                outcomes[curl] = under_way[curl].problem(url, code, reason)
            for curl in (*good, *(curl for curl, _, _ in bad)):
                self._multi.remove_handle(curl)
                under_way.pop(curl).unload()
            if under_way and not (good or bad) and self._multi.select(LONGEST_LOOK_SECONDS) < 0:
                time.sleep(SHORT_PAUSE_SECONDS)
        self._sockets.discard(-1)
        return [outcomes[curl] for curl in order]

    def close(self) -> None:
        for handle in self._handles:
            handle.close()
        let_go(self._multi)
        self._multi.close()
