"""What a command says is read out of a log again byte for byte, with how it ended."""

import io
import json
import os
import signal
import subprocess
import sys
import threading
from datetime import timedelta

import pytest

from app.engine.logs.transcript import Ended, Said, Stream, read_line, transcribe

#: A log driver cuts a longer line in two.
LONGEST_LINE = 16 * 1024


def transcript_of(code: str, *, time_limit: timedelta = timedelta(seconds=30), grace: timedelta = timedelta(seconds=30)) -> list[str]:
    log = io.BytesIO()
    transcribe([sys.executable, "-c", code], log, time_limit=time_limit, grace=grace)
    return log.getvalue().decode("ascii").splitlines()


def said(lines: list[str], stream: Stream) -> bytes:
    found = [read_line(line) for line in lines]
    return b"".join(one.text for one in found if isinstance(one, Said) and one.stream is stream)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"id,at\n1,2\n", id="lines"),
        pytest.param(b"\n\n  a\t\n\nno end", id="empty lines and no last one"),
        pytest.param("ü€𝄞".encode() * 3000, id="characters that are cut in two"),
        pytest.param(b"\xff\xfe\x00\xc3", id="no text at all"),
        pytest.param(b"\x01" * 20_000, id="what JSON makes six of"),
    ],
)
def test_what_was_said_is_read_again_byte_for_byte(content: bytes) -> None:
    lines = transcript_of(f"import sys; sys.stdout.buffer.write({content!r})")

    assert said(lines, Stream.STDOUT) == content
    assert max(map(len, lines)) <= LONGEST_LINE
    assert [json.loads(line)["number"] for line in lines] == list(range(len(lines)))


def test_what_is_written_word_by_word_is_no_line_a_word() -> None:
    lines = transcript_of("import os\nfor _ in range(2000): os.write(1, b'word ')")

    assert said(lines, Stream.STDOUT) == b"word " * 2000
    assert len(lines) < 50


def test_the_streams_stay_apart() -> None:
    lines = transcript_of("import sys; print('job'); print('slow', file=sys.stderr)")

    assert (said(lines, Stream.STDOUT), said(lines, Stream.STDERR)) == (b"job\n", b"slow\n")


@pytest.mark.parametrize(
    ("code", "exit_code"),
    [("pass", 0), ("raise SystemExit(3)", 3), ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", 137)],
)
def test_the_last_line_says_how_it_ended(code: str, exit_code: int) -> None:
    lines = transcript_of(code)

    assert read_line(lines[-1]) == Ended(number=len(lines) - 1, exit_code=exit_code)


def test_a_command_is_told_to_end_when_its_time_is_over_and_then_killed() -> None:
    lines = transcript_of(
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)",
        time_limit=timedelta(seconds=1),
        grace=timedelta(seconds=0.2),
    )

    assert said(lines, Stream.STDERR).splitlines() == [
        b"Told to end: its time limit of 0:00:01 is over.",
        b"Killed: it did not end within 0:00:00.200000 of being told to.",
    ]
    assert read_line(lines[-1]) == Ended(number=2, exit_code=137)


def test_a_signal_is_passed_on_and_the_command_may_finish() -> None:
    code = (
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: (print('in hand'), sys.exit(5)))\n"
        "print('ready', flush=True)\n"
        "time.sleep(60)"
    )
    reading, writing = os.pipe()

    def stop_when_ready() -> None:
        with os.fdopen(reading, "rb") as log:
            log.readline()
            os.kill(os.getpid(), signal.SIGTERM)
            rest.extend(log.read().decode().splitlines())

    rest: list[str] = []
    thread = threading.Thread(target=stop_when_ready)
    thread.start()
    with os.fdopen(writing, "wb") as log:
        exit_code = transcribe([sys.executable, "-c", code], log, time_limit=timedelta(seconds=30), grace=timedelta(seconds=30))
    thread.join(10)

    assert exit_code == 5
    assert said(rest, Stream.STDOUT) == b"in hand\n"


@pytest.mark.parametrize("line", ["", "Traceback", "{}", "[1]", '{"number": 1, "stream": "stdin", "text": ""}', '"text"'])
def test_other_lines_are_none_of_a_transcript(line: str) -> None:
    assert read_line(line) is None


def test_the_entry_point_runs_django_s_command_line() -> None:
    done = subprocess.run([sys.executable, "-m", "app.operate", "no_such_command"], capture_output=True, text=True, check=False)
    lines = done.stdout.splitlines()

    assert done.returncode == 1
    assert b"no_such_command" in said(lines, Stream.STDERR)
    assert read_line(lines[-1]) == Ended(number=len(lines) - 1, exit_code=1)
