"""When the capacity deficit is published, and when it is not."""

from collections.abc import Mapping

import pytest

from app.engine.scaling.publisher import INTO_PERIOD_SECONDS, Publisher
from app.topology.scaling import SENSOR_PERIOD
from tests.support.eventually import eventually

PERIOD = SENSOR_PERIOD.total_seconds()
#: A full minute of the clock on the wall.
MINUTE = 1_800_000_000.0


class Wall:
    """A clock, a leader and an AWS, all of which the test moves."""

    def __init__(self) -> None:
        self.now = MINUTE + 17
        self.is_leading = True
        self.published: list[float] = []

    def publish(self) -> Mapping[str, int]:
        self.published.append(self.now)
        return {"worker-emails": 2}

    def publisher(self) -> Publisher:
        return Publisher(publish=self.publish, is_leading=lambda: self.is_leading, clock=lambda: self.now)


@pytest.fixture
def wall() -> Wall:
    return Wall()


def test_a_beat_that_begins_to_lead_publishes_at_once_and_then_once_in_each_of_cloudwatch_s_periods(wall: Wall) -> None:
    publisher = wall.publisher()

    for _ in range(120):
        publisher.look()
        wall.now += 1

    moments = [moment - MINUTE for moment in wall.published]
    assert moments == [17, *(PERIOD * number + INTO_PERIOD_SECONDS for number in range(1, 5))]
    assert len({moment // PERIOD for moment in moments}) == len(moments)


def test_a_beat_that_does_not_lead_is_silent(wall: Wall) -> None:
    wall.is_leading = False
    publisher = wall.publisher()

    for _ in range(120):
        publisher.look()
        wall.now += 1

    assert wall.published == []


def test_a_beat_that_leads_again_publishes_at_once(wall: Wall) -> None:
    publisher = wall.publisher()
    publisher.look()

    wall.is_leading = False
    publisher.look()
    wall.is_leading = True
    wall.now += 1
    publisher.look()

    assert wall.published == [MINUTE + 17, MINUTE + 18]


def test_the_thread_goes_on_after_what_nobody_expected_and_ends_when_it_is_told_to(caplog: pytest.LogCaptureFixture) -> None:
    calls: list[int] = []

    def fail() -> Mapping[str, int]:
        calls.append(len(calls))
        raise KeyError("never thought of")

    ticks = iter(range(0, 10_000, 60))
    publisher = Publisher(publish=fail, is_leading=lambda: True, clock=lambda: float(next(ticks)))
    publisher.start()

    eventually(lambda: len(calls) >= 2)
    publisher.stop()

    assert not publisher._thread.is_alive()
    assert "capacity deficit not published" in caplog.text
