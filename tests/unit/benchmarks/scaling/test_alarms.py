"""Simulated alarms and what Auto Scaling does when they ring."""

import pytest

from app.topology.scaling import FAST_OUT, NATIVE_IN, NATIVE_OUT, SLOW_IN
from benchmarks.scaling.alarms import Alarm, TargetTracking, by_rule


def test_an_alarm_rings_after_so_many_figures_in_a_row_and_then_once_a_minute() -> None:
    alarm = Alarm(is_beyond=lambda figure: figure > 5, periods=2)
    figures = [9, 1, 9, 9, 9, 9, None, 9, 9]

    rung = [alarm.feed(30.0 * number, figure) for number, figure in enumerate(figures)]

    assert rung == [False, False, False, True, False, True, False, False, True]


def test_fast_out_adds_what_is_missing_and_in_its_cooldown_only_what_is_missing_beyond_that() -> None:
    scaling = by_rule(FAST_OUT)

    assert scaling.change(0, 3) == 3
    assert scaling.change(10, 0) == 0
    assert scaling.change(20, 5) == 5 - 3
    assert scaling.change(80, 5) == 5


def test_slow_in_takes_away_after_three_minutes_of_surplus() -> None:
    scaling = by_rule(SLOW_IN)

    assert [scaling.change(60.0 * minute, -3) for minute in range(4)] == [0, 0, -2, -2]


@pytest.mark.parametrize("late", [0, 1, 3])
def test_late_figures_are_acted_on_once(late: int) -> None:
    scaling = by_rule(NATIVE_OUT)
    true = [0, 5, 5, *[0] * 20]

    changes = []
    for minute in range(len(true)):
        seen = [true[at] if 0 <= at <= minute - late else 0 for at in range(minute - NATIVE_OUT.evaluation_periods + 1, minute + 1)]
        changes.append(scaling.change_by(60.0 * minute, seen))

    assert [(minute, change) for minute, change in enumerate(changes) if change] == [(1 + late, 5)]


def test_the_fallback_takes_away_in_spite_of_minutes_that_are_not_known_yet() -> None:
    scaling = by_rule(NATIVE_IN)

    assert scaling.change_by(900, [-3] * 12 + [0, 0, 0]) == -2
    assert scaling.change_by(960, [-3] * 12 + [0, 0, 0]) == 0
    assert by_rule(NATIVE_IN).change_by(900, [-3] * 11 + [0, 0, 0, 0]) == 0


def test_no_figure_changes_nothing() -> None:
    scaling = by_rule(FAST_OUT)

    assert [scaling.change(60.0 * minute, None) for minute in range(3)] == [0, 0, 0]


def test_target_tracking_goes_out_after_three_minutes_in_proportion_and_in_after_fifteen_by_a_tenth() -> None:
    tracking = TargetTracking(target=100)

    assert [tracking.wanted(60.0 * minute, 250, 4) for minute in range(3)] == [4, 4, 10]
    assert [tracking.wanted(60.0 * minute, 10, 30) for minute in range(3, 18)] == [30] * 14 + [27]
