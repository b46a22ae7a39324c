"""The end of a process's log, for a person: one line an event, without the metrics. The file itself stays as it is."""

import json
from pathlib import Path
from typing import Any

_LINES = 20
_METRIC_MARK = "_aws"
#: Where our lines and Celery's say why, in the order of preference.
_REASONS = ("error", "reason")


def last_words(log: Path) -> str:
    """The last lines, indented. Of a traceback only its last line; the rest stands in the file."""
    try:
        lines = log.read_text(errors="replace").splitlines()
    except FileNotFoundError:
        lines = []
    readable = [line for line in map(_readable, lines) if line is not None][-_LINES:]
    return "\n".join(f"    {line}" for line in readable) or "    (it said nothing)"


def _readable(line: str) -> str | None:
    """The line as it is unless it is one of our JSON lines; ``None`` for a metric."""
    try:
        event = json.loads(line)
    except ValueError:
        return line
    if not isinstance(event, dict):
        return line
    if _METRIC_MARK in event:
        return None
    if "message" not in event:
        return line
    what = " ".join(str(event[name]) for name in ("at", "level", "message") if event.get(name))
    return f"{what}: {why}" if (why := _why(event)) else what


def _why(event: dict[str, Any]) -> str:
    for name in _REASONS:
        if event.get(name):
            return str(event[name])
    traceback = str(event.get("exc_info") or "").strip()
    return traceback.splitlines()[-1] if traceback else ""
