"""The formula of scaling, in Python and in CloudWatch's metric math."""

import math
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.topology import ScalingMode, ScalingPolicy, TopologyError
from app.topology.scaling import (
    FAST_OUT,
    IDLE_IN,
    LAST_DESIRED,
    NATIVE_IN,
    NATIVE_OUT,
    RULES,
    SHORTEST_ECONOMY,
    SLOW_IN,
    Aggregation,
    StepRule,
    deficit,
    native_expression,
    needed,
    rules_for,
)

MINUTE = timedelta(minutes=1)
SECOND = timedelta(seconds=1)
LATENCY = ScalingPolicy(minimum=0, maximum=20, wait_goal=MINUTE, expected_run_time=SECOND)
ECONOMY = replace(LATENCY, mode=ScalingMode.ECONOMY, wait_goal=30 * MINUTE)

counts = st.integers(min_value=0, max_value=100_000)
run_times = st.timedeltas(min_value=timedelta(milliseconds=1), max_value=timedelta(hours=2))
policies = st.builds(
    lambda minimum, more, goal, run_time, mode: ScalingPolicy(
        minimum=minimum,
        maximum=max(minimum + more, 1),
        wait_goal=max(goal, SHORTEST_ECONOMY) if mode is ScalingMode.ECONOMY else goal,
        expected_run_time=run_time,
        mode=mode,
    ),
    st.integers(0, 30),
    st.integers(0, 50),
    st.timedeltas(min_value=SECOND, max_value=timedelta(hours=3)),
    run_times,
    st.sampled_from(ScalingMode),
)
situations = st.fixed_dictionaries(
    {
        "visible": counts,
        "in_flight": counts,
        "desired": st.integers(0, 80),
        "run_time": run_times,
        "slots": st.integers(1, 32),
        "policy": policies,
    }
)


@given(situations)
def test_what_is_needed_is_between_minimum_and_maximum(situation: dict[str, Any]) -> None:
    assert situation["policy"].minimum <= needed(**situation) <= situation["policy"].maximum


@given(situations)
def test_no_copy_is_needed_only_without_work_and_without_a_minimum(situation: dict[str, Any]) -> None:
    is_idle = not situation["visible"] and not situation["in_flight"]

    assert (needed(**situation) == 0) == (is_idle and situation["policy"].minimum == 0)


@given(situations, st.integers(0, 10_000), st.sampled_from(["visible", "in_flight"]))
def test_more_jobs_never_need_fewer_copies(situation: dict[str, Any], more: int, which: str) -> None:
    assert needed(**situation | {which: situation[which] + more}) >= needed(**situation)


@given(situations, run_times)
def test_longer_runs_never_need_fewer_copies(situation: dict[str, Any], more: timedelta) -> None:
    assert needed(**situation | {"run_time": situation["run_time"] + more}) >= needed(**situation)


@given(situations, st.integers(1, 32))
def test_more_slots_never_need_more_copies(situation: dict[str, Any], more: int) -> None:
    assert needed(**situation | {"slots": situation["slots"] + more}) <= needed(**situation)


@given(situations, st.timedeltas(min_value=SECOND, max_value=timedelta(hours=3)))
def test_a_patient_goal_never_needs_more_copies(situation: dict[str, Any], more: timedelta) -> None:
    policy = situation["policy"]

    assert needed(**situation | {"policy": replace(policy, wait_goal=policy.wait_goal + more)}) <= needed(**situation)


@given(situations)
def test_the_deficit_asks_for_what_is_needed_and_not_desired(situation: dict[str, Any]) -> None:
    assert situation["desired"] + deficit(**situation) == needed(**situation)


def test_waiting_work_is_gone_within_half_of_the_goal() -> None:
    # 600 jobs of a second in 30 seconds: 20 slots.
    assert needed(visible=600, in_flight=0, desired=0, run_time=SECOND, slots=4, policy=LATENCY) == 5


def test_a_busy_slot_stays_where_latency_counts_and_is_shared_where_money_does() -> None:
    running: dict[str, Any] = {"visible": 0, "in_flight": 40, "desired": 10, "run_time": SECOND, "slots": 4}

    assert needed(**running, policy=LATENCY) == 10
    assert needed(**running, policy=ECONOMY) == 1


def test_what_workers_have_read_ahead_is_not_taken_for_busy_slots() -> None:
    # Two copies of four slots hold a second's worth of jobs that take a tenth of it: 8 run, 80 wait.
    held: dict[str, Any] = {"visible": 0, "in_flight": 88, "desired": 2, "run_time": SECOND / 10, "slots": 4}

    assert needed(**held, policy=LATENCY) == 2
    assert needed(**held | {"in_flight": 1008}, policy=LATENCY) == 3


def test_a_little_waiting_work_is_left_to_the_slots_that_are_there() -> None:
    busy: dict[str, Any] = {"in_flight": 8, "desired": 2, "run_time": SECOND, "slots": 4, "policy": LATENCY}

    # A copy takes 120 of them in half a minute.
    assert needed(visible=90, **busy) == 2
    assert needed(visible=91, **busy) == 3


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"minimum": -1}, r"minimum: expected 0 to maximum \(20\), got -1"),
        ({"minimum": 21}, r"minimum: expected 0 to maximum \(20\), got 21"),
        ({"minimum": 0, "maximum": 0}, "maximum: expected 1 to 5000, got 0; without a copy no job runs"),
        ({"maximum": 5001}, "maximum: expected 1 to 5000, got 5001"),
        ({"mode": ScalingMode.ECONOMY}, "wait_goal: expected 0:05:00 or more with mode economy, got 0:01:00: such a queue would swing"),
        ({"wait_goal": timedelta(0)}, "wait_goal: expected a positive duration, got 0:00:00"),
        ({"expected_run_time": -SECOND}, "expected_run_time: expected a positive duration"),
    ],
)
def test_a_policy_that_cannot_work_is_refused(change: dict[str, Any], problem: str) -> None:
    with pytest.raises(TopologyError, match=problem):
        replace(LATENCY, **change)


# -- steps --------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("rule", "missing", "change"),
    [
        *((FAST_OUT, 0, 0), (FAST_OUT, -3, 0), (FAST_OUT, 1, 1), (FAST_OUT, 7, 6), (FAST_OUT, 39, 32), (FAST_OUT, 500, 40)),
        *((SLOW_IN, 0, 0), (SLOW_IN, 3, 0), (SLOW_IN, -1, -1), (SLOW_IN, -3, -2), (SLOW_IN, -100, -16)),
    ],
)
def test_a_change_never_goes_further_than_the_deficit(rule: StepRule, missing: int, change: int) -> None:
    assert rule.change(missing) == change


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_auto_scaling_and_cloudwatch_take_every_rule(rule: StepRule) -> None:
    assert len(rule.changes) <= 20
    assert sorted(rule.changes, key=abs) == list(rule.changes)
    assert rule.period.total_seconds() in (10, 20, 30) or rule.period % MINUTE == timedelta(0)


def test_a_service_that_may_go_without_copies_takes_them_away_sooner() -> None:
    assert rules_for(LATENCY) == (FAST_OUT, IDLE_IN, NATIVE_OUT, NATIVE_IN)
    assert rules_for(replace(LATENCY, minimum=1)) == (FAST_OUT, SLOW_IN, NATIVE_OUT, NATIVE_IN)
    assert IDLE_IN.period * IDLE_IN.evaluation_periods < SLOW_IN.period * SLOW_IN.evaluation_periods


#: CloudWatch has SQS's figures so much later, at worst.
LATEST = 3 * MINUTE


@pytest.mark.parametrize("rule", [NATIVE_OUT, NATIVE_IN], ids=lambda rule: rule.name)
def test_an_alarm_on_late_figures_can_ring_though_the_latest_minutes_are_filled_with_0(rule: StepRule) -> None:
    filled = LATEST // rule.period

    assert rule.datapoints_to_alarm <= rule.evaluation_periods - filled
    # What it chooses a step by is none of the filled ones.
    assert rule.aggregation is (Aggregation.MAXIMUM if rule.changes[0] > 0 else Aggregation.MINIMUM)


@pytest.mark.parametrize("rule", [NATIVE_OUT, NATIVE_IN], ids=lambda rule: rule.name)
def test_what_an_alarm_on_late_figures_has_acted_on_is_forgotten_when_it_acts_again(rule: StepRule) -> None:
    assert rule.cooldown > rule.evaluation_periods * rule.period


# -- CloudWatch ---------------------------------------------------------------------------------------------------------
class Missing(float):
    """What comes of it is missing as well."""

    def _missing(self, *_: object) -> "Missing":
        return self

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __gt__ = __lt__ = _missing  # type: ignore[assignment]

    def __bool__(self) -> bool:
        raise AssertionError("CloudWatch has no figure here to decide by")


MISSING = Missing("nan")


def evaluated(expression: str, *, before: float | None = None, **figures: float | None) -> float:
    """As CloudWatch would, for one moment; ``None`` is no figure, ``before`` the last one that came."""

    def is_missing(figure: float) -> bool:
        return isinstance(figure, Missing)

    functions: dict[str, Any] = {
        "FILL": lambda figure, otherwise: otherwise if is_missing(figure) else figure,
        "IF": lambda condition, then, otherwise: condition if is_missing(condition) else then if condition else otherwise,
        "CEIL": lambda figure: figure if is_missing(figure) else math.ceil(figure),
        "REPEAT": MISSING if before is None else before,
    }
    known = functions | {name: MISSING if figure is None else figure for name, figure in figures.items()}
    known["last_desired"] = _value(LAST_DESIRED, known)
    return float(_value(expression, known))


def _value(expression: str, names: dict[str, Any]) -> Any:
    return eval(expression, {"__builtins__": {}}, names)  # noqa: S307 — our own text


@given(situations)
def test_metric_math_says_what_the_formula_says(situation: dict[str, Any]) -> None:
    # Nine digits of the share, and the limits are Auto Scaling's.
    policy = replace(situation["policy"], minimum=0, maximum=5000)
    expected = situation | {"policy": policy, "run_time": policy.expected_run_time}
    figures = {name: float(situation[name]) for name in ("visible", "in_flight", "desired")}

    native = evaluated(native_expression(situation["slots"], policy), **figures, samples=None)

    clamped = min(native + situation["desired"], 5000) - situation["desired"]
    assert clamped == pytest.approx(deficit(**expected), abs=1)


def test_metric_math_is_still_while_the_sensor_speaks() -> None:
    backlog = {"visible": 5000.0, "in_flight": 0.0, "desired": 0.0}

    assert evaluated(native_expression(4, LATENCY), **backlog, samples=2.0) == 0
    assert evaluated(native_expression(4, LATENCY), **backlog, samples=None) == 41


@pytest.mark.parametrize("policy", [LATENCY, ECONOMY], ids=lambda policy: policy.mode.value)
def test_metric_math_starts_a_first_copy_though_aws_says_nothing_of_a_service_without_copies(policy: ScalingPolicy) -> None:
    assert evaluated(native_expression(4, policy), visible=1.0, in_flight=0.0, desired=None, samples=None) == 1


@pytest.mark.parametrize("policy", [LATENCY, ECONOMY], ids=lambda policy: policy.mode.value)
def test_where_the_newest_figures_are_late_nothing_is_missing_and_nothing_too_much(policy: ScalingPolicy) -> None:
    expression = native_expression(4, policy)

    assert evaluated(expression, visible=None, in_flight=None, desired=7.0, samples=None) == 0
    assert evaluated(expression, visible=None, in_flight=None, desired=None, before=7.0, samples=None) == 0
    # Seven copies are there already, though Container Insights has not yet said so of this minute.
    behind = {"visible": 90_000.0, "in_flight": 28.0}
    assert evaluated(expression, **behind, desired=None, before=7.0, samples=None) == evaluated(
        expression, **behind, desired=7.0, samples=None
    )
