"""What a command says, as lines of a log from which it can be read again byte for byte.

A log driver puts both streams together, drops empty lines, cuts long ones and delivers late, or nothing of the end if it was killed. So each line
is an object with a number, and the last one says how the command ended:

    {"number": 0, "stream": "stdout", "text": "id,at\\n"}
    {"number": 1, "stream": "stderr", "text": "These are the latest 100.\\n"}
    {"number": 2, "exit_code": 0}

Limit: the two streams are in the order in which they came to be read, which is roughly that in which they were written.
"""

import codecs
import json
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from itertools import count
from typing import Any, BinaryIO

#: Bytes of a command in one line. JSON makes six of one at worst, and log drivers cut at 16 KiB.
LONGEST_TEXT = 2_500
#: A command that writes word by word is given so long to write more of them, or each word would be a line.
_GATHER = timedelta(milliseconds=20)
#: As shells count a process that a signal has ended.
_ENDED_BY_SIGNAL = 128


class Stream(StrEnum):
    STDOUT = "stdout"
    STDERR = "stderr"


@dataclass(frozen=True, kw_only=True, slots=True)
class Said:
    number: int
    stream: Stream
    text: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Ended:
    number: int
    exit_code: int


def read_line(line: str) -> Said | Ended | None:
    """A line of a log; ``None`` if it is none of a transcript."""
    try:
        told = json.loads(line)
        if "exit_code" in told:
            return Ended(number=told["number"], exit_code=told["exit_code"])
        return Said(number=told["number"], stream=Stream(told["stream"]), text=told["text"].encode(errors="surrogateescape"))
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def transcribe(command: Sequence[str], log: BinaryIO, *, time_limit: timedelta, grace: timedelta) -> int:
    """Run a command, write down what it says, and return its exit status as a shell counts it. For the main thread.

    SIGTERM and SIGINT are passed on. After ``time_limit`` it gets a SIGTERM, and after ``grace`` more a SIGKILL.
    """
    writer = _Writer(log)
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        before = {number: signal.signal(number, lambda got, _: process.send_signal(got)) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            _copy(process, writer, time_limit, grace)
            status = process.wait()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
    exit_code = status if status >= 0 else _ENDED_BY_SIGNAL - status
    writer.write(exit_code=exit_code)
    return exit_code


def _copy(process: "subprocess.Popen[bytes]", writer: "_Writer", time_limit: timedelta, grace: timedelta) -> None:
    """Until both streams are closed."""
    deadlines = [
        (grace, process.kill, f"Killed: it did not end within {grace} of being told to.\n"),
        (time_limit, process.terminate, f"Told to end: its time limit of {time_limit} is over.\n"),
    ]
    began = time.monotonic()
    is_ahead = False
    with selectors.DefaultSelector() as selector:
        for stream, pipe in ((Stream.STDOUT, process.stdout), (Stream.STDERR, process.stderr)):
            selector.register(pipe, selectors.EVENT_READ, _Part(stream))  # type: ignore[arg-type]  # there is one: it was asked for
        while selector.get_map():
            left = began + deadlines[-1][0].total_seconds() - time.monotonic() if deadlines else None
            if left is not None and left <= 0:
                _, end, words = deadlines.pop()
                writer.write(stream=Stream.STDERR, text=words)
                began = time.monotonic()
                end()
                continue
            ready = selector.select(left)
            if not is_ahead:
                time.sleep(_GATHER.total_seconds())
            is_ahead = False
            for key, _ in ready:
                chunk = os.read(key.fd, LONGEST_TEXT)
                is_ahead = is_ahead or len(chunk) == LONGEST_TEXT
                if text := key.data.decode(chunk):
                    writer.write(stream=key.data.stream, text=text)
                if not chunk:
                    selector.unregister(key.fileobj)


class _Part:
    """One stream. A character that is cut in two waits for its other half; bytes that are no UTF-8 are kept as they are."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="surrogateescape")

    def decode(self, chunk: bytes) -> str:
        return self._decoder.decode(chunk, final=not chunk)


class _Writer:
    def __init__(self, log: BinaryIO) -> None:
        self._log = log
        self._numbers = count()

    def write(self, **told: Any) -> None:
        """ASCII only, so that no log driver has anything to repair."""
        line: Mapping[str, Any] = {"number": next(self._numbers), **told}
        self._log.write(json.dumps(line).encode() + b"\n")
        self._log.flush()
