"""The end of a call, whatever the server does meanwhile."""

import os
import socket
import threading
import time
from contextlib import suppress
from types import TracebackType
from typing import Self


class Deadline:
    """Cuts every connection that it was told of when the time is over: also one that gives a byte a second, which no read timeout ends.

    Use: ``with Deadline(10) as deadline: …; deadline.cut_in_time(sock)``.
    """

    def __init__(self, seconds: float) -> None:
        self._ends = time.monotonic() + seconds
        self._lock = threading.Lock()
        self._handles: list[socket.socket] = []
        self._timer = threading.Timer(seconds, self._cut)
        self._timer.daemon = True
        self.is_over = False

    @property
    def seconds_left(self) -> float:
        return max(self._ends - time.monotonic(), 0.0)

    def cut_in_time(self, sock: socket.socket) -> None:
        # A handle of our own: TLS takes the socket over, and leaves this object without its descriptor.
        handle = socket.socket(sock.family, sock.type, sock.proto, fileno=os.dup(sock.fileno()))
        with self._lock:
            self._handles.append(handle)
            if self.is_over:
                _shut(handle)

    def _cut(self) -> None:
        with self._lock:
            self.is_over = True
            for handle in self._handles:
                _shut(handle)

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._timer.cancel()
        with self._lock:
            for handle in self._handles:
                handle.close()
            self._handles.clear()


def _shut(handle: socket.socket) -> None:
    with suppress(OSError):  # the other side was first
        handle.shutdown(socket.SHUT_RDWR)
