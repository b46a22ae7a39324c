"""Files to which another process writes line by line."""

from pathlib import Path


def whole_lines(file: Path) -> list[str]:
    """What stands in it up to its last whole line, for the rest is still being written; nothing if there is no file yet."""
    if not file.exists():
        return []
    written, _, _ = file.read_text().rpartition("\n")
    return written.splitlines()
