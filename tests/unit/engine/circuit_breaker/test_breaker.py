"""What a breaker lets through, by a clock that is moved by hand."""

import logging
import pickle
from datetime import timedelta
from typing import Any

import pytest

from app.engine.aws.errors import AwsUnavailable
from app.engine.circuit_breaker import Breaker, BreakerPolicy, CircuitOpen, State
from app.engine.circuit_breaker.own_records import OwnRecords
from app.engine.errors import PermanentError, TransientError

POLICY = BreakerPolicy(failures=3, pause=timedelta(seconds=60), longest_pause=timedelta(seconds=200), probe_lease=timedelta(seconds=30))


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


class CountedRecords(OwnRecords):
    """Stands for the shared table: counts what it is asked, and may be away."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.is_away = False

    def __getattribute__(self, name: str) -> Any:
        if name in ("read", "count_failure", "forget_failures", "take_probe", "settle", "open_again", "return_probe"):
            if object.__getattribute__(self, "is_away"):
                raise AwsUnavailable("no answer")
            object.__getattribute__(self, "asked").append(name)
        return object.__getattribute__(self, name)


class Fleet:
    """Breakers of several processes with the same records."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.records = CountedRecords()
        self.own = OwnRecords()

    def breaker(self) -> Breaker:
        return Breaker("partner", POLICY, records=lambda: self.records, own=self.own, clock=self.clock)

    @property
    def state(self) -> State:
        return OwnRecords.read(self.records, "partner").state(self.clock.now)


@pytest.fixture
def fleet() -> Fleet:
    return Fleet()


def fail(breaker: Breaker, error: Exception | None = None) -> None:
    raised = error or TransientError("500")
    with pytest.raises(type(raised)), breaker.call():
        raise raised


def succeed(breaker: Breaker) -> None:
    with breaker.call():
        pass


def refused(breaker: Breaker) -> CircuitOpen:
    with pytest.raises(CircuitOpen) as raised, breaker.call():
        raise AssertionError("it left")
    return raised.value


def open_it(fleet: Fleet) -> Breaker:
    breaker = fleet.breaker()
    for _ in range(POLICY.failures):
        fail(breaker)
    return breaker


def test_failures_in_a_row_open_it_for_everybody(fleet: Fleet) -> None:
    one, other = fleet.breaker(), fleet.breaker()
    fail(one)
    fail(other)
    fail(one)

    assert fleet.state is State.OPEN
    fleet.clock.now += 1.1
    error = refused(other)
    assert error.name == "partner"
    assert 58 <= error.retry_after.total_seconds() <= 66
    assert "500" in str(error)


def test_a_success_between_them_begins_anew(fleet: Fleet) -> None:
    breaker = fleet.breaker()
    for _ in range(3):
        fail(breaker)
        fail(breaker)
        succeed(breaker)

    assert fleet.state is State.CLOSED


@pytest.mark.parametrize("error", [ValueError("a mistake of ours"), PermanentError("404"), KeyboardInterrupt()])
def test_what_is_not_the_partner_s_failure_says_nothing(fleet: Fleet, error: BaseException) -> None:
    breaker = fleet.breaker()
    for _ in range(5):
        with pytest.raises(type(error)), breaker.call():
            raise error

    assert fleet.state is State.CLOSED


def test_successes_while_closed_write_nothing_and_read_once_a_second(fleet: Fleet) -> None:
    breaker = fleet.breaker()
    for _ in range(100):
        succeed(breaker)
    fleet.clock.now += 1
    succeed(breaker)

    assert fleet.records.asked == ["read", "read"]


def test_while_it_is_open_refusals_read_once_a_second_and_write_nothing(fleet: Fleet) -> None:
    breaker = open_it(fleet)
    fleet.records.asked.clear()
    for _ in range(100):
        refused(breaker)
    fleet.clock.now += 1.5
    refused(breaker)

    assert fleet.records.asked == ["read"]


def test_after_the_pause_one_probe_leaves_and_its_success_lets_all_go_on(fleet: Fleet) -> None:
    open_it(fleet)
    fleet.clock.now += 61
    one, other = fleet.breaker(), fleet.breaker()

    with one.call():
        assert refused(other).reason == "a probe is under way"
        assert refused(fleet.breaker()).retry_after <= timedelta(seconds=5.5)

    assert fleet.state is State.CLOSED
    fleet.clock.now += 1
    succeed(other)


def test_each_probe_that_fails_doubles_the_pause_up_to_the_longest(fleet: Fleet) -> None:
    breaker = open_it(fleet)
    pauses = []
    for _ in range(4):
        fleet.clock.now = OwnRecords.read(fleet.records, "partner").open_until
        fail(breaker)
        pauses.append(OwnRecords.read(fleet.records, "partner").open_until - fleet.clock.now)

    assert pauses == [120, 200, 200, 200]


def test_a_probe_that_was_killed_is_followed_by_another_when_its_lease_is_over(fleet: Fleet) -> None:
    open_it(fleet)
    fleet.clock.now += 61
    killed = fleet.breaker().call()
    killed.__enter__()

    fleet.clock.now += 29
    refused(fleet.breaker())
    fleet.clock.now += 2
    succeed(fleet.breaker())

    assert fleet.state is State.CLOSED


def test_a_probe_whose_lease_has_passed_to_another_changes_nothing(fleet: Fleet) -> None:
    open_it(fleet)
    fleet.clock.now += 61
    late, next_one = fleet.breaker(), fleet.breaker()
    with late.call():
        fleet.clock.now += 31
        leave = next_one.call()
        leave.__enter__()

    assert fleet.state is State.HALF_OPEN


def test_a_probe_that_learned_nothing_gives_its_place_to_the_next(fleet: Fleet) -> None:
    open_it(fleet)
    fleet.clock.now += 61
    fail(fleet.breaker(), ValueError("before it left"))
    succeed(fleet.breaker())

    assert fleet.state is State.CLOSED


def test_a_call_that_fails_late_does_not_prolong_the_pause(fleet: Fleet) -> None:
    slow = fleet.breaker().call()
    slow.__enter__()
    open_it(fleet)
    until = OwnRecords.read(fleet.records, "partner").open_until
    fleet.clock.now += 20

    late = TransientError("late")
    assert not slow.__exit__(TransientError, late, None)
    assert OwnRecords.read(fleet.records, "partner").open_until == until


def test_a_call_that_succeeds_late_does_not_close_it(fleet: Fleet) -> None:
    slow = fleet.breaker()
    with slow.call():
        open_it(fleet)

    assert fleet.state is State.OPEN


def test_while_the_table_is_away_a_process_lets_calls_through_and_counts_for_itself(fleet: Fleet, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    fleet.records.is_away = True
    breaker = fleet.breaker()
    succeed(breaker)
    for _ in range(POLICY.failures):
        fail(breaker)
    refused(breaker)

    assert [record.message for record in caplog.records] == ["breaker counts alone", "breaker opened"]
    fleet.records.is_away = False
    fleet.clock.now += 5
    succeed(breaker)


def test_what_opens_is_logged_and_counted_once(fleet: Fleet, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]) -> None:
    caplog.set_level(logging.INFO)
    breaker = open_it(fleet)
    refused(breaker)
    fleet.clock.now += 61
    succeed(breaker)

    assert [record.message for record in caplog.records] == ["breaker opened", "breaker probed", "breaker closed"]
    assert capsys.readouterr().out.count('"BreakerOpenings"') == 2  # its name and its value, of one line


def test_the_refusal_comes_whole_out_of_a_worker_s_child() -> None:
    error = pickle.loads(pickle.dumps(CircuitOpen("partner", "500", timedelta(seconds=9))))  # noqa: S301 — as the pool does

    assert (error.name, error.reason, error.retry_after) == ("partner", "500", timedelta(seconds=9))


@pytest.mark.parametrize(
    "values",
    [{"failures": 0}, {"pause": timedelta(0)}, {"pause": timedelta(hours=1)}, {"probe_lease": timedelta(0)}],
    ids=lambda values: next(iter(values)),
)
def test_an_impossible_policy_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"BreakerPolicy: {next(iter(values))}: expected"):
        BreakerPolicy(**values)
