"""How much a worker may ask for, and of which queue: without a thread and without SQS."""

from collections import Counter

import pytest

from app.engine.broker.received import Received
from app.engine.broker.room import FRUITLESS_SECONDS, MOST_IN_ADVANCE, RECEIVE_BATCH, ConsumedQueue, Pace, Room
from tests.unit.engine.broker.fake_sqs import Clock, raw


class Held:
    """How many messages are in hand."""

    count = 0

    def __call__(self) -> int:
        return self.count


def queue(name: str, weight: int = 1, buffered: int = 0) -> ConsumedQueue:
    entry = ConsumedQueue(name=name, url=f"https://sqs/{name}", weight=weight)
    for number in range(buffered):
        entry.buffer.append(Received(queue=name, url=entry.url, raw=raw(f"{name}{number}"), received_at=0.0))
    return entry


def room(*queues: ConsumedQueue, window: int = 4, held: Held | None = None, clock: Clock | None = None) -> Room:
    made = Room(prefetch_seconds=2.0, held=held or Held(), clock=clock or Clock())
    made.queues = {entry.name: entry for entry in queues}
    made.window = window
    return made


def test_the_pace_approaches_the_true_rate_and_fades_when_nothing_happens() -> None:
    clock = Clock()
    pace = Pace(clock)
    for _ in range(2000):
        clock.now += 0.01
        pace.note()

    assert 95 < pace.per_second < 105

    clock.now += 60

    assert pace.per_second < 5


def test_without_a_pace_there_is_room_for_the_slots_and_at_full_pace_for_two_seconds_more() -> None:
    held, clock, only = Held(), Clock(), queue("a")
    made = room(only, held=held, clock=clock)
    assert made.of(only) == 4

    for _ in range(4000):
        clock.now += 0.01
        made.pace.note()
    assert 4 + 150 < made.of(only) <= 4 + MOST_IN_ADVANCE
    held.count = 4 + MOST_IN_ADVANCE
    assert made.of(only) == 0


def test_a_free_slot_is_worth_a_request_and_a_little_more_in_advance_is_not() -> None:
    held, clock, only = Held(), Clock(), queue("a")
    made = room(only, held=held, clock=clock)
    for _ in range(2000):
        clock.now += 0.01
        made.pace.note()
    everything = made.of(only)

    held.count = everything - RECEIVE_BATCH + 1
    assert made.of(only) == 0
    held.count = 3
    assert made.of(only) > 0


def test_a_worker_is_ahead_when_it_holds_a_receive_more_than_it_can_run() -> None:
    held, only = Held(), queue("a")
    made = room(only, held=held, window=4)

    def is_ahead(count: int) -> bool:
        held.count = count
        return made.is_ahead

    assert [is_ahead(count) for count in (0, 4, 4 + RECEIVE_BATCH - 1, 4 + RECEIVE_BATCH)] == [False, False, False, True]


def test_what_other_polls_may_bring_counts_until_they_wait_at_an_empty_queue() -> None:
    clock = Clock()
    first, second = queue("a"), queue("b")
    made = room(first, second, clock=clock)
    second.asked, second.polled_at = 3, clock.now

    assert made.of(first) == 1
    clock.now += 2 * FRUITLESS_SECONDS
    assert made.of(first) == 4


def test_a_suspended_queue_has_no_room() -> None:
    suspended, other = queue("a"), queue("b")
    suspended.is_suspended = True
    made = room(suspended, other)

    assert (made.of(suspended), made.of(other), made.of_any) == (0, 4, 4)


def test_who_is_behind_polls_first_and_an_empty_queue_saves_nothing_up() -> None:
    ahead, behind = queue("a"), queue("b")
    made = room(ahead, behind)
    ahead.received, behind.received, behind.hungry = 10.0, 2.0, 1
    assert (made.is_turn_of(ahead), made.is_turn_of(behind)) == (False, True)

    made.level(behind)
    assert made.is_turn_of(ahead)


@pytest.mark.parametrize(("weights", "shares"), [((1, 1), {"a": 6, "b": 6}), ((5, 1), {"a": 10, "b": 2})])
def test_queues_are_chosen_by_weight_as_long_as_they_hold_something(weights: tuple[int, int], shares: dict[str, int]) -> None:
    made = room(queue("a", weights[0], buffered=20), queue("b", weights[1], buffered=20), queue("empty"))
    chosen: Counter[str] = Counter()
    for _ in range(12):
        entry = made.choose()
        assert entry is not None
        entry.buffer.popleft()
        chosen[entry.name] += 1

    assert chosen == shares
    assert room(queue("empty")).choose() is None
