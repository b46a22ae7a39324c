"""How the console writes durations, times, ids and states."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from django.template import Library
from django.utils.html import format_html
from django.utils.safestring import SafeString

from app.console import wording
from app.engine.workers.records import WorkerState

register = Library()

#: Celery's states; whatever else the ledger holds is shown by its name, as idle.
_BADGES = {
    "SUCCESS": "ok",
    "FAILURE": "bad",
    "REJECTED": "bad",
    "RETRY": "warn",
    "REVOKED": "warn",
    "STARTED": "busy",
}

_WORKER_BADGES = {
    WorkerState.LIVE: "idle",
    WorkerState.DRAINING: "warn",
    WorkerState.STOPPING: "warn",
    WorkerState.LOST: "bad",
}

_MOST_DOTS = 16


@register.filter
def duration(value: timedelta | None) -> SafeString:
    return _duration(value, wording.duration)


@register.filter
def run_time(value: timedelta | None) -> SafeString:
    return _duration(value, wording.run_time)


@register.simple_tag
def ago(moment: datetime, now: datetime) -> SafeString:
    """``12s ago``, with the exact time for the pointer and for programs."""
    passed = now - moment
    return _time(moment, f"{wording.duration(passed)} ago" if passed >= timedelta(seconds=1) else "now")


@register.simple_tag
def since(moment: datetime, now: datetime) -> SafeString:
    """``12s``: for how long something has been going on."""
    return _time(moment, wording.duration(now - moment))


@register.filter
def short_id(value: str) -> SafeString:
    return format_html('<code title="{}">{}</code>', value, wording.short_id(value))


@register.filter
def short_host(value: str) -> SafeString:
    """Up to the first dot: the domain is the same for all workers."""
    return format_html('<span title="{}">{}</span>', value, value.split(".", 1)[0])


@register.filter
def count(value: int) -> SafeString:
    """Noughts step back, so that the eye finds what is not nought."""
    return format_html('<span class="muted">{}</span>', 0) if value == 0 else format_html("{}", f"{value:,}")


@register.filter
def short_error(value: str) -> SafeString:
    return format_html('<span title="{}">{}</span>', value, wording.first_line(value))


@register.filter
def state_badge(state: str) -> SafeString:
    return format_html('<span class="badge badge--{}">{}</span>', _BADGES.get(state, "idle"), state.lower())


@register.filter
def worker_badge(state: WorkerState) -> SafeString:
    return format_html('<span class="badge badge--{}">{}</span>', _WORKER_BADGES[state], state.value)


@register.filter
def mebibytes(value: int | None) -> SafeString:
    if value is None:
        return format_html('<span class="muted">{}</span>', "—")
    return format_html('<span title="{} bytes">{} MiB</span>', f"{value:,}", f"{value // 1024**2:,}")


@register.filter
def slots(used: int, total: int) -> SafeString:
    """A dot a slot, the used ones filled; nothing where they are too many to be seen at a glance."""
    if total > _MOST_DOTS:
        return SafeString("")
    free = max(total - used, 0)
    return format_html('<span class="slots" aria-hidden="true">{}<span class="muted">{}</span></span>', "●" * min(used, total), "○" * free)


def _duration(value: timedelta | None, worded: Callable[[timedelta], str]) -> SafeString:
    if value is None:
        return format_html('<span class="muted">{}</span>', "—")
    return format_html('<span title="{} s">{}</span>', f"{value.total_seconds():.3f}", worded(value))


def _time(moment: datetime, words: str) -> SafeString:
    utc = moment.astimezone(UTC)
    return format_html(
        '<time datetime="{}" title="{} UTC">{}</time>', utc.isoformat(timespec="milliseconds"), f"{utc:%Y-%m-%d %H:%M:%S}", words
    )
