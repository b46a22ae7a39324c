"""Numbers and times in words that a person reads at a glance."""

from datetime import timedelta

_SHORT_ID = 8
_LONGEST_LINE = 120


def duration(value: timedelta) -> str:
    """Whole seconds, the two largest units: ``12s``, ``3m 12s``, ``2h 5m``, ``3d 4h``. Less than nothing (clocks differ) is ``0s``."""
    seconds = max(int(value.total_seconds()), 0)
    for size, unit, smaller_size, smaller_unit in ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "m"), (60, "m", 1, "s")):
        if seconds >= size:
            whole, rest = divmod(seconds, size)
            part = rest // smaller_size
            return f"{whole}{unit} {part}{smaller_unit}" if part else f"{whole}{unit}"
    return f"{seconds}s"


def run_time(value: timedelta) -> str:
    """Like :func:`duration`, finer below ten seconds: ``38ms``, ``4.2s``."""
    if value < timedelta(seconds=1):
        return f"{max(value // timedelta(milliseconds=1), 0)}ms"
    return f"{value // timedelta(milliseconds=100) / 10:.1f}s" if value < timedelta(seconds=10) else duration(value)


def coarse_duration(value: timedelta) -> str:
    """Whole minutes from one minute on: a sentence that is read aloud may not change with every second."""
    return duration(value if value < timedelta(minutes=1) else value - value % timedelta(minutes=1))


def short_id(value: str) -> str:
    return value if len(value) <= _SHORT_ID + 1 else f"{value[:_SHORT_ID]}…"


def first_line(value: str) -> str:
    """The first line, cut at 120 characters."""
    line = value.strip().split("\n", 1)[0]
    return line if len(line) <= _LONGEST_LINE else f"{line[: _LONGEST_LINE - 1].rstrip()}…"


def counted(count: int, one: str, many: str = "") -> str:
    """``1 dead letter``, ``2 dead letters``."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def listed(parts: list[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return " and ".join(part for part in (", ".join(parts[:-1]), parts[-1]) if part)
