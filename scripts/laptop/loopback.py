"""Servers on 127.0.0.1 in processes of their own: ``serve`` is the child's half of the handshake, ``started`` the parent's.

The handshake is one line on stdout, the address, printed once the socket listens.
"""

import contextlib
import signal
import socketserver
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import NoReturn

HOST = "127.0.0.1"
_REPOSITORY = Path(__file__).resolve().parents[2]
_SECONDS_TO_LEAVE = 3


class ServerDidNotStart(RuntimeError):
    """Raised when a server process ended before it announced its address; its stderr says why."""


def serve(server: socketserver.TCPServer) -> NoReturn:
    """Announce the server's address and serve until SIGTERM or SIGINT, then leave at once.

    Requests under way are dropped, as a laptop's servers have nobody to be polite to.
    """

    def leave(_signal: int, _frame: FrameType | None) -> NoReturn:
        raise SystemExit(0)

    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGINT, leave)
    print(f"http://{HOST}:{server.server_address[1]}", flush=True)
    with server:
        server.serve_forever()
    raise SystemExit(0)


@contextlib.contextmanager
def started(module: str, *arguments: str) -> Iterator[str]:
    """Run ``python -m module arguments`` and yield its address; end it afterwards, whatever happened."""
    command = [sys.executable, "-m", module, *arguments]
    # a session of its own, as Ctrl-C is for the parent, who chooses the order in which things end
    with subprocess.Popen(command, cwd=_REPOSITORY, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        try:
            address = process.stdout.readline().strip() if process.stdout else ""
            if not address:
                raise ServerDidNotStart(f"{module} ended with status {process.wait()} before it listened; see its stderr above.")
            yield address
        finally:
            process.terminate()
            try:
                process.wait(_SECONDS_TO_LEAVE)
            except subprocess.TimeoutExpired:
                process.kill()
