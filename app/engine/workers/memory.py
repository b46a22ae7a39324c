"""How much memory processes take together."""

import re
import subprocess
from collections.abc import Iterable
from pathlib import Path

_SHARE = re.compile(r"^Pss:\s+(\d+) kB", re.MULTILINE)
_KIB = 1024
_PATIENCE_SECONDS = 2


def memory_bytes(pids: Iterable[int], proc: Path = Path("/proc")) -> int | None:
    """What these processes take together, or ``None`` if the system does not tell. One that has ended counts nothing.

    On Linux pages that several processes share, as forked children do, count once. Elsewhere they count for each.
    """
    wanted = list(pids)
    if (proc / "self").exists():
        shares = [_proportional_share(proc / str(pid)) for pid in wanted]
        known = [share for share in shares if share is not None]
        return sum(known) if known else None
    return _resident_sets(wanted)


def _proportional_share(process: Path) -> int | None:
    try:
        found = _SHARE.search((process / "smaps_rollup").read_text(encoding="ascii"))
    except OSError:
        return None
    return int(found[1]) * _KIB if found else None


def _resident_sets(pids: list[int]) -> int | None:
    """macOS."""
    try:
        answer = subprocess.run(
            ["ps", "-o", "rss=", "-p", ",".join(map(str, pids))], capture_output=True, text=True, check=False, timeout=_PATIENCE_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    sizes = [int(size) for size in answer.stdout.split() if size.isdecimal()]
    return sum(sizes) * _KIB if sizes else None
