"""No job is early."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from app.engine.broker.delays import LONGEST_DELAY_SECONDS, asked_delay, delay_seconds, due_at

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    "eta",
    [
        NOON.isoformat(),
        NOON.replace(tzinfo=None).isoformat(),
        NOON.astimezone(timezone(timedelta(hours=5, minutes=30))).isoformat(),
        "2026-06-01T12:00:00Z",
    ],
    ids=["utc", "no zone", "india", "z"],
)
def test_a_time_without_a_zone_is_utc_and_any_other_is_what_it_says(eta: str) -> None:
    assert due_at({"eta": eta}) == NOON.timestamp()


@pytest.mark.parametrize("headers", [{}, {"eta": None}, {"eta": 7}, {"eta": "soon"}, {"eta": ""}, {"eta": "0001-01-01T00:00:00+23:59"}])
def test_what_is_no_time_is_due_at_once(headers: dict[str, Any]) -> None:
    due = due_at(headers)

    assert due is None or delay_seconds(due, NOON.timestamp()) == 0


@pytest.mark.parametrize(
    ("due", "seconds"),
    [(None, 0), (-5.0, 0), (0.0, 0), (0.01, 1), (1.0, 1), (1.2, 2), (899.5, 900), (900.0, 900), (1e12, 900)],
)
def test_a_delay_is_whole_never_early_and_never_more_than_sqs_takes(due: float | None, seconds: int) -> None:
    now = NOON.timestamp()

    assert delay_seconds(None if due is None else now + due, now) == seconds


def test_a_shorter_limit_makes_shorter_hops() -> None:
    assert delay_seconds(1000.0, 0.0, longest=3) == 3


@pytest.mark.parametrize(
    ("properties", "seconds"),
    [
        ({}, 0),
        ({"DelaySeconds": 7}, 7),
        ({"delay_seconds": 8}, 8),
        ({"delay_seconds": 0, "DelaySeconds": 7}, 0),
        ({"DelaySeconds": "9"}, 9),
        ({"DelaySeconds": 901}, LONGEST_DELAY_SECONDS),
        ({"DelaySeconds": -1}, 0),
    ],
)
def test_a_delay_that_the_caller_asks_for_is_kept_within_what_sqs_takes(properties: dict[str, Any], seconds: int) -> None:
    assert asked_delay(properties) == seconds


def test_a_delay_that_is_no_number_is_the_caller_s_mistake() -> None:
    with pytest.raises(ValueError, match="soon"):
        asked_delay({"DelaySeconds": "soon"})
