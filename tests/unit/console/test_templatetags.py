from datetime import UTC, datetime, timedelta, timezone

from app.console.templatetags.console import (
    ago,
    count,
    duration,
    mebibytes,
    short_error,
    short_host,
    short_id,
    slots,
    state_badge,
    worker_badge,
)
from app.engine.workers.records import WorkerState

NOW = datetime(2026, 11, 3, 3, 0, tzinfo=UTC)


def test_a_relative_time_carries_the_exact_one_in_utc() -> None:
    moment = (NOW - timedelta(seconds=192)).astimezone(timezone(timedelta(hours=2)))

    assert ago(moment, NOW) == '<time datetime="2026-11-03T02:56:48.000+00:00" title="2026-11-03 02:56:48 UTC">3m 12s ago</time>'
    assert ">now<" in ago(NOW, NOW)


def test_what_is_cut_is_whole_in_the_title() -> None:
    assert short_id("0f6af13f-5c1a-4f0e") == '<code title="0f6af13f-5c1a-4f0e">0f6af13f…</code>'
    assert short_host("emails@ip-10-0-1-2.internal") == '<span title="emails@ip-10-0-1-2.internal">emails@ip-10-0-1-2</span>'


def test_what_tasks_say_is_escaped() -> None:
    assert "<script" not in short_error("<script>alert(1)</script>")
    assert "<script" not in short_id("<script>alert(1)</script>")
    assert "<script" not in state_badge("<script>")


def test_an_unknown_state_is_shown_by_its_name() -> None:
    assert state_badge("FAILURE") == '<span class="badge badge--bad">failure</span>'
    assert state_badge("SUMMONED") == '<span class="badge badge--idle">summoned</span>'


def test_every_slot_has_a_dot_as_long_as_a_glance_can_count_them() -> None:
    assert "●●●<" in slots(3, 4)
    assert slots(3, 4).count("○") == 1
    assert slots(3, 100) == ""


def test_a_worker_that_is_as_it_should_be_is_quiet_and_every_other_state_has_its_colour() -> None:
    assert worker_badge(WorkerState.LIVE) == '<span class="badge badge--idle">live</span>'
    assert "badge--warn" in worker_badge(WorkerState.DRAINING)
    assert "badge--warn" in worker_badge(WorkerState.STOPPING)
    assert "badge--bad" in worker_badge(WorkerState.LOST)


def test_memory_is_told_in_mebibytes_or_as_unknown() -> None:
    assert mebibytes(412 * 1024**2) == '<span title="432,013,312 bytes">412 MiB</span>'
    assert "muted" in mebibytes(None)


def test_nothing_is_quieter_than_something() -> None:
    assert "muted" in count(0)
    assert count(12_840) == "12,840"
    assert "muted" in duration(None)
