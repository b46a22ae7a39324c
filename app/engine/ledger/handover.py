"""From a child process, which has run the job, to the worker's main process, which stores results of many children together.

Datagrams on a pair of Unix sockets: each arrives whole or not at all, whoever is killed meanwhile, and no lock is shared.
A child sends before it reports the end of its run, so the main process finds the datagram when it hears of that end.
"""

import json
import os
import socket
import threading
from typing import Any

#: What a kernel keeps for the main process while that is busy; Linux allows 212,992 bytes unless told otherwise.
BUFFER_BYTES = 4 * 1024 * 1024
_LARGEST_DATAGRAM = 16 * 1024 * 1024

Handed = tuple[str, dict[str, Any]]
"""The tag of a delivery, and the item that says what became of it."""


class Handover:
    """Made in the main process before it forks. Children :meth:`give`, the main process takes."""

    def __init__(self) -> None:
        self._owner = os.getpid()
        self._taking, self._giving = _pair()
        self._taking.setblocking(False)
        self._lock = threading.Lock()

    @property
    def is_mine(self) -> bool:
        """Whether this is the main process."""
        return os.getpid() == self._owner

    def give(self, tag: str, item: dict[str, Any]) -> bool:
        """In a child: send. Waits while the main process is busy. False if the item is too large to travel, or nobody takes it."""
        try:
            self._giving.send(json.dumps([tag, item], separators=(",", ":")).encode())
        except (OSError, UnicodeEncodeError):
            return False
        return True

    def take(self) -> list[Handed]:
        """In the main process, any thread: all that has arrived. Never waits for more."""
        arrived: list[Handed] = []
        with self._lock:
            while True:
                try:
                    datagram = self._taking.recv(_LARGEST_DATAGRAM)
                except (BlockingIOError, InterruptedError):
                    return arrived
                tag, item = json.loads(datagram)
                arrived.append((tag, item))

    def wait(self, seconds: float) -> bool:
        """Until something has arrived, at most so long."""
        import select

        poll = select.poll()
        poll.register(self._taking, select.POLLIN)
        return bool(poll.poll(seconds * 1000))

    def close(self) -> None:
        self._taking.close()
        self._giving.close()


def _pair() -> tuple[socket.socket, socket.socket]:
    try:
        taking, giving = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    except OSError:  # macOS has datagrams only, which are as whole
        taking, giving = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    for end in (taking, giving):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)
        end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
    return taking, giving
