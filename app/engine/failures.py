"""What two failures that are the same problem have in common."""

import hashlib
import re
import traceback
from types import TracebackType

from billiard.exceptions import TimeLimitExceeded

#: Quoted, a UUID, or a word, which changes from job to job if it is not made of letters only.
_CHANGING = re.compile(r"'[^']*'|\"[^\"]*\"|[0-9a-fA-F]{8}-[0-9a-fA-F-]{27}|\w+")


def fingerprint_of(error: BaseException, *, task: str, trace: str = "") -> str:
    """``trace`` is the traceback of an exception that came from a child process, as text."""
    return fingerprint(task, kind_of(error), text_of(error), place_in(trace) or place_of(error.__traceback__))


def fingerprint(task: str, kind: str, message: str, place: str) -> str:
    """12 hexadecimal digits. Quoted values, ids and words with a figure do not count: they differ from job to job."""
    shape = _CHANGING.sub(lambda found: found[0] if found[0].replace("_", "a").isalpha() else "…", message)
    return hashlib.sha256(f"{task}\n{kind}\n{place}\n{shape}".encode("utf-8", "replace")).hexdigest()[:12]


def kind_of(error: BaseException) -> str:
    """Its class, with its module."""
    return f"{type(error).__module__}.{type(error).__qualname__}".removeprefix("builtins.")


def text_of(error: BaseException) -> str:
    if isinstance(error, TimeLimitExceeded) and error.args:
        return f"killed after {error.args[0]:g} s"
    try:
        return str(error)
    except Exception as problem:  # noqa: BLE001 — an exception class of somebody's, on the way to report its failure
        return f"(its text cannot be made: {type(problem).__name__})"


def place_of(trace: TracebackType | None) -> str:
    frames = traceback.extract_tb(trace)
    return f"{frames[-1].filename.rpartition('/')[2]}:{frames[-1].name}" if frames else ""


def place_in(trace: str) -> str:
    """The innermost frame of a formatted traceback: file and function, not the line, which moves with every edit."""
    frames = re.findall(r'File "([^"]+)", line \d+, in (\S+)', trace)
    return f"{frames[-1][0].rpartition('/')[2]}:{frames[-1][1]}" if frames else ""
