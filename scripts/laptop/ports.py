"""Free loopback ports, the same ones each time where possible."""

import fcntl
import json
import os
import socket
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from scripts.laptop.loopback import HOST
from scripts.laptop.session import SessionFailed

_TRIES = 20


class PortTaken(SessionFailed):
    """Raised when the port that was asked for belongs to somebody else."""


class Ports:
    """The ports of one clone, remembered in a file.

    Two clones that start in the same second do not choose the same one: until this process ends a claim is a
    lock in the temporary directory, because a service listens on its port only seconds later.
    """

    def __init__(self, memory: Path) -> None:
        self._memory = memory
        self._known: dict[str, int] = {}
        with suppress(FileNotFoundError, ValueError, AttributeError):  # nothing remembered
            self._known = {str(name): int(port) for name, port in json.loads(memory.read_text()).items()}

    def last(self, name: str) -> int:
        """The port of last time, unclaimed. Raises :class:`KeyError`."""
        return self._known[name]

    def claim_exactly(self, name: str, port: int) -> int:
        """Raises :class:`PortTaken`."""
        if not self._claim(port):
            raise PortTaken(f"Port {port} is in use by another program. Choose another one with --port, or leave --port out.")
        return self._remember(name, port)

    def claim(self, name: str, preferred: Iterable[int] = ()) -> int:
        """The port of last time if it is free, else a preferred one, else any."""
        remembered = [self._known[name]] if name in self._known else []
        for port in (*remembered, *preferred):
            if self._claim(port):
                return self._remember(name, port)
        for _ in range(_TRIES):
            port = _any_free_port()
            if self._claim(port):
                return self._remember(name, port)
        raise PortTaken(f"No free port was found on {HOST} in {_TRIES} tries.")

    def _remember(self, name: str, port: int) -> int:
        self._known[name] = port
        self._memory.write_text(json.dumps(self._known, indent=1))
        return port

    def _claim(self, port: int) -> bool:
        directory = Path(tempfile.gettempdir()) / f"millrace-ports-{os.getuid()}"
        directory.mkdir(mode=0o700, exist_ok=True)
        lock = os.open(directory / str(port), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return False
        if not _is_free(port):
            os.close(lock)
            return False
        return True  # the lock stays open, and is held, until the process ends


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections of the last session may still linger
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def _any_free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port
