"""A run in a child process learns that its message is somebody else's: a board in memory that parent and children share.

Written by the worker's main process only; read by every run that is about to commit something.
"""

import mmap
from functools import lru_cache
from hashlib import blake2b
from typing import Any

from app.engine.broker.errors import LeaseLost

_ENTRY_BYTES = 16
_ENTRIES = 4096


class LostLeases:
    """A ring of the last 4,096 lost deliveries. Made before the pool forks, so that every child sees the same pages."""

    def __init__(self) -> None:
        self._board = mmap.mmap(-1, _ENTRY_BYTES * _ENTRIES)
        self._next = 0

    def add(self, tag: str) -> None:
        self._board[self._next : self._next + _ENTRY_BYTES] = _digest(tag)
        self._next = (self._next + _ENTRY_BYTES) % (_ENTRY_BYTES * _ENTRIES)

    def discard(self, tag: str) -> None:
        position = self._find(tag)
        if position >= 0:
            self._board[position : position + _ENTRY_BYTES] = bytes(_ENTRY_BYTES)

    def __contains__(self, tag: str) -> bool:
        return self._find(tag) >= 0

    def _find(self, tag: str) -> int:
        digest = _digest(tag)
        position = self._board.find(digest)
        while position >= 0 and position % _ENTRY_BYTES:
            position = self._board.find(digest, position + 1)
        return position


def _digest(tag: str) -> bytes:
    return blake2b(tag.encode(), digest_size=_ENTRY_BYTES).digest()


@lru_cache(maxsize=1)
def lost_leases() -> LostLeases:
    """The board of this process and of the children that it forks afterwards."""
    return LostLeases()


def has_lost_lease(request: Any) -> bool:
    """Whether the message of this run (``self.request`` of a bound task) may be somebody else's by now.

    False for a run that did not come from SQS. A true answer is certain to come only to a run whose worker could ask SQS:
    it closes the window that a conditional write must close for good, it does not replace it.
    """
    tag = (getattr(request, "properties", None) or {}).get("delivery_tag")
    return isinstance(tag, str) and tag in lost_leases()


def check_lease(request: Any) -> None:
    """Raise :class:`~app.engine.broker.errors.LeaseLost` if :func:`has_lost_lease`: call it before you commit an effect."""
    if has_lost_lease(request):
        raise LeaseLost("This run's message was not kept invisible: another worker may be running the job. Nothing was committed.")
