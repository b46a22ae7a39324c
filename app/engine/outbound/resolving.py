"""From a name to addresses, in time."""

import socket
import threading
from collections.abc import Sequence
from queue import Empty, SimpleQueue

from app.engine.outbound.errors import PartnerAway


def resolve(host: str, port: int, seconds: float) -> Sequence[str]:
    """The addresses of a name. Raises :class:`PartnerAway`.

    The system's resolver knows no time-out of ours, so it is asked on a thread; one that hangs is left behind until it ends by itself.
    """
    found: SimpleQueue[list[str] | OSError | UnicodeError] = SimpleQueue()

    def ask() -> None:
        try:
            told = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            found.put(list(dict.fromkeys(str(entry[4][0]) for entry in told)))
        except (OSError, UnicodeError) as error:
            found.put(error)

    threading.Thread(target=ask, name="resolve", daemon=True).start()
    try:
        answer = found.get(timeout=seconds)
    except Empty:
        raise PartnerAway(f"The name {host} was not resolved within {seconds:.0f} s.") from None
    if isinstance(answer, Exception):
        raise PartnerAway(f"The name {host} cannot be resolved: {answer}") from answer
    return answer
