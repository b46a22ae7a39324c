"""From any thread into the consuming thread's event loop, at once.

Not ``hub.call_soon``: what is called soon by a callback that was itself called soon, kombu 5.7 runs after its poll, which
is up to a second later. A pipe that the loop reads has no such gap.
"""

import contextlib
import os
import threading
from collections.abc import Callable
from typing import Any


class Wakeup:
    """``callback`` runs in the loop once for any number of :meth:`set` before it."""

    def __init__(self, hub: Any, callback: Callable[[], object]) -> None:
        self._hub = hub
        self._callback = callback
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(self._writer, False)
        self._is_set = False
        self._is_closed = False
        # A signal handler may interrupt set() in the loop's thread, and call it.
        self._open = threading.RLock()
        hub.add_reader(self._reader, self._on_readable)
        hub.on_tick.add(self._before_poll)

    def set(self) -> None:
        # Two threads that both see False write twice, which is harmless; none that is needed is left out, because the loop
        # clears the flag before it looks at what there is to do.
        if not self._is_set and not self._is_closed:
            self._is_set = True
            # Once closed, the number of the pipe may be that of somebody's connection.
            with self._open, contextlib.suppress(OSError):
                if not self._is_closed:
                    os.write(self._writer, b"\0")

    def close(self) -> None:
        """Only in the loop's thread."""
        if not self._is_closed:
            with contextlib.suppress(Exception):
                self._hub.on_tick.discard(self._before_poll)
                self._hub.remove_reader(self._reader)
            with self._open:
                self._is_closed = True
                os.close(self._reader)
                os.close(self._writer)

    def _before_poll(self) -> None:
        # What a timer has called soon, such as the acknowledgement of a rate-limited job that the solo pool ran in it.
        if self._hub._ready:
            self.set()

    def _on_readable(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._reader, 64)
        self._is_set = False
        self._callback()
