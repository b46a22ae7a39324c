"""As much of Redis's protocol as the harness speaks, so that it needs no package."""

import socket
from collections.abc import Sequence
from typing import Any

_TIMEOUT_SECONDS = 60
_LINE_END = b"\r\n"


class RedisRefused(RuntimeError):
    """Raised when Redis answers with an error, which is the message."""


class Wire:
    """One connection. Not safe for threads."""

    def __init__(self, host: str, port: int) -> None:
        self._socket = socket.create_connection((host, port), _TIMEOUT_SECONDS)
        self._answers = self._socket.makefile("rb")

    def close(self) -> None:
        self._answers.close()
        self._socket.close()

    def ask(self, *words: str | int) -> Any:
        return self.ask_all([words])[0]

    def ask_all(self, commands: Sequence[Sequence[str | int]]) -> list[Any]:
        """All in one go; raises after the last answer if one is an error."""
        self._socket.sendall(b"".join(map(encoded, commands)))
        answers = [self._answer() for _ in commands]
        for answer in answers:
            if isinstance(answer, RedisRefused):
                raise answer
        return answers

    def _answer(self) -> Any:
        line = self._answers.readline()
        if not line.endswith(_LINE_END):
            raise ConnectionResetError("Redis hung up.")
        kind, rest = line[:1], line[1:-2]
        if kind == b"-":
            return RedisRefused(rest.decode())
        if kind == b"+":
            return rest.decode()
        size = int(rest)
        if kind == b":":
            return size
        if size < 0:
            return None
        if kind == b"*":
            return [self._answer() for _ in range(size)]
        return self._answers.read(size + len(_LINE_END))[:-2].decode()


def encoded(words: Sequence[str | int]) -> bytes:
    parts = [str(word).encode() for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)
