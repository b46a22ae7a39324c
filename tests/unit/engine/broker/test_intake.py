"""Receiving: as much as there is room for, from every queue its share, and nothing is lost on the way."""

import contextlib
import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from app.engine.aws.backoff import LONGEST_PAUSE_SECONDS, Backoff
from app.engine.broker import intake as module
from app.engine.broker import receivers
from app.engine.broker.intake import Intake
from app.engine.broker.options import BrokerOptions, QueueOptions
from app.engine.broker.received import Received
from app.engine.broker.receivers import EXTRA_WAIT_SECONDS, RECEIVERS_PER_QUEUE
from app.engine.broker.room import MOST_IN_ADVANCE, ConsumedQueue
from tests.support.eventually import eventually
from tests.unit.engine.broker.fake_sqs import Backlog, Clock, raw

A, B, C = "https://sqs/a", "https://sqs/b", "https://sqs/c"


def options(weights: dict[str, int] | None = None, **more: Any) -> BrokerOptions:
    queues = {name: QueueOptions(name=name, url=f"https://sqs/{name}", weight=weight) for name, weight in (weights or {"a": 1}).items()}
    return BrokerOptions(queues=queues, **more)


class Worker:
    """An intake, and what it told its neighbours."""

    def __init__(self, told: BrokerOptions, *, clock: Callable[[], float] | None = None) -> None:
        self.sqs = Backlog()
        self.woken = 0
        self.given_back: list[str] = []
        self.hidden_for: list[int] = []
        self.put_off: list[str] = []
        self.again: list[str] = []
        self.client: Any = self.sqs
        self.read: Callable[[Received], Received | None] = lambda received: received
        self.clock = clock or Clock()
        self.intake = Intake(
            told,
            lambda: self.client,
            admit=lambda messages: messages,
            read=lambda received: self.read(received),  # noqa: PLW0108 — a test may exchange it
            wake=self.wake,
            give_back=self._give_back,
            put_off=lambda messages: self.put_off.extend(received.message_id for received in messages),
            again=lambda received: self.again.append(received.handle),
            clock=self.clock,
        )

    def wake(self) -> None:
        self.woken += 1

    def _give_back(self, messages: Iterable[Received], seconds: int) -> None:
        self.hidden_for.append(seconds)
        self.given_back += [received.message_id for received in messages]

    def pass_time(self, seconds: float) -> None:
        assert isinstance(self.clock, Clock)
        self.clock.now += seconds

    def put(self, url: str, count: int, first: int = 0) -> None:
        self.sqs.put(url, *[raw(f"{url[-1]}{number}") for number in range(first, first + count)])

    def in_hand(self) -> int:
        return len(self.intake.in_hand())

    def take(self) -> Received:
        return eventually(self.intake.take, lambda received: received is not None)  # type: ignore[return-value]

    def finish(self, received: Received) -> None:
        self.intake.settled(received.tag, for_good=True)

    def receivers(self) -> list[threading.Thread]:
        return list(self.intake._receivers._threads)

    def end(self) -> None:
        self.intake.stop()

        def receivers_left() -> list[threading.Thread]:
            self.sqs.end_polls()
            return self.receivers()

        eventually(receivers_left, [])


@pytest.fixture
def make() -> Iterator[Callable[..., Worker]]:
    made: list[Worker] = []

    def worker(weights: dict[str, int] | None = None, *, clock: Callable[[], float] | None = None, window: int = 4, **more: Any) -> Worker:
        made.append(Worker(options(weights, **more), clock=clock))
        made[-1].intake.resize(window)
        return made[-1]

    yield worker
    for one in made:
        one.end()


Make = Callable[..., Worker]

# -- room ---------------------------------------------------------------------------------------------------------------


def test_no_more_is_asked_for_than_the_worker_has_slots(make: Make) -> None:
    worker = make(window=4)
    worker.put(A, 50)

    worker.intake.consume("a")

    eventually(worker.in_hand, 4)
    eventually(lambda: worker.intake._receivers._waiting)
    assert worker.in_hand() == 4
    assert [request["MaxNumberOfMessages"] for request in worker.sqs.asked] == [4]
    assert worker.sqs.left(A) == 46


def test_a_single_free_slot_is_filled_although_a_fuller_request_would_be_cheaper(make: Make) -> None:
    worker = make(window=20)
    worker.put(A, 30)
    worker.intake.consume("a")
    eventually(worker.in_hand, 20)
    running = [worker.take() for _ in range(20)]
    worker.pass_time(3600)

    worker.finish(running[0])

    eventually(worker.in_hand, 20)
    assert worker.sqs.asked[-1]["MaxNumberOfMessages"] == 1


def test_a_worker_of_short_jobs_takes_work_in_advance_ten_at_a_time_and_never_more_than_its_pace(make: Make) -> None:
    worker = make(window=2)
    worker.put(A, 1000)
    worker.intake.consume("a")
    most = 0
    for _ in range(400):
        received = worker.take()
        worker.pass_time(0.01)
        worker.finish(received)
        most = max(most, worker.in_hand())

    # 100 a second, one second in advance.
    assert 40 < most <= 2 + 105
    assert sum(request["MaxNumberOfMessages"] == 10 for request in worker.sqs.asked) > 20


def test_however_short_the_jobs_no_more_than_two_hundred_are_taken_in_advance(make: Make) -> None:
    worker = make(window=2)
    for _ in range(5000):
        worker.intake._room.pace.note()
    worker.put(A, 400)

    worker.intake.consume("a")

    # The last two are not worth a request while no slot is free.
    eventually(worker.in_hand, MOST_IN_ADVANCE)
    eventually(lambda: worker.intake._receivers._waiting, lambda waiting: waiting == len(worker.receivers()))
    assert worker.in_hand() == MOST_IN_ADVANCE


def test_of_jobs_that_take_longer_than_the_prefetch_time_none_is_taken_in_advance_though_many_end_together(make: Make) -> None:
    worker = make(window=8)
    worker.put(A, 100)
    worker.intake.consume("a")
    for _ in range(3):
        running = [worker.take() for _ in range(8)]
        worker.pass_time(60)
        for received in running:
            worker.finish(received)
            assert worker.in_hand() <= 8
        eventually(worker.in_hand, 8)


def test_without_a_limit_a_program_gets_as_much_as_may_be_held_in_advance(make: Make) -> None:
    worker = make(window=0)
    worker.put(A, 300)

    worker.intake.consume("a")

    eventually(worker.in_hand, MOST_IN_ADVANCE)


def test_a_worker_that_grows_is_served_at_once(make: Make) -> None:
    worker = make(window=2)
    worker.put(A, 10)
    worker.intake.consume("a")
    eventually(worker.in_hand, 2)
    eventually(lambda: worker.intake._receivers._waiting)

    worker.intake.resize(5)

    eventually(worker.in_hand, 5, within=0.5)


def test_the_worker_is_woken_for_what_came_and_not_for_nothing(make: Make) -> None:
    worker = make()
    worker.intake.consume("a")
    eventually(lambda: worker.sqs.polls_waiting(A), 1)
    worker.sqs.end_polls()
    eventually(lambda: len(worker.sqs.asked), 2)
    assert worker.woken == 0

    worker.put(A, 1)

    eventually(lambda: worker.woken, 1)


def test_a_worker_that_cannot_be_woken_keeps_its_receiver(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    worker = make()

    def broken() -> None:
        raise RuntimeError("the loop is gone")

    worker.wake = broken  # type: ignore[method-assign]
    worker.intake.consume("a")
    worker.put(A, 1)
    eventually(worker.in_hand, 1)

    worker.put(A, 1, first=1)

    eventually(worker.in_hand, 2)


def test_who_waits_for_a_message_without_an_event_loop_gets_it_when_it_comes(make: Make) -> None:
    worker = make()
    worker.intake.consume("a")
    assert not worker.intake.wait_for_message(0.01)
    found: list[bool] = []
    waiter = threading.Thread(target=lambda: found.append(worker.intake.wait_for_message(10)))
    waiter.start()

    worker.put(A, 1)

    waiter.join(5)
    assert found == [True]


# -- receivers ----------------------------------------------------------------------------------------------------------


def test_who_waits_without_an_event_loop_is_not_woken_for_work_that_it_has_no_slot_for(make: Make) -> None:
    worker = make(window=4)
    worker.put(A, 2)
    worker.intake.consume("a")
    running = worker.take()
    worker.intake.resize(1)
    found: list[bool] = []

    assert not worker.intake.wait_for_message(0.05)
    waiter = threading.Thread(target=lambda: found.append(worker.intake.wait_for_message(30)))
    waiter.start()
    eventually(lambda: worker.intake._draining)
    worker.finish(running)
    waiter.join(10)

    assert found == [True]


def test_a_backlog_brings_additional_receivers_and_its_end_sends_them_away(make: Make) -> None:
    worker = make(window=2)
    worker.read = lambda received: received
    for _ in range(5000):
        worker.intake._room.pace.note()
    seen = 0
    gate = threading.Event()

    def slow(received: Received) -> Received:
        gate.wait(5)
        return received

    worker.read = slow
    worker.put(A, 150)
    worker.intake.consume("a")
    gate.set()
    eventually(lambda: worker.sqs.left(A), 0)
    seen = sum(request["WaitTimeSeconds"] == EXTRA_WAIT_SECONDS for request in worker.sqs.asked)

    assert seen > 0
    eventually(lambda: len(worker.receivers()), 1)
    assert worker.intake._room.queues["a"].extra == 0
    eventually(worker.in_hand, 150)


@pytest.mark.parametrize(("has_extra", "hidden_for"), [(True, EXTRA_WAIT_SECONDS + 1), (False, 0)])
@pytest.mark.parametrize("end", [lambda worker: worker.intake.stop(), lambda worker: worker.intake.cancel("a")], ids=["stop", "cancel"])
def test_what_is_let_go_does_not_come_back_to_the_additional_receivers(
    make: Make, end: Callable[[Worker], None], has_extra: bool, hidden_for: int
) -> None:
    worker = make(window=2)
    if has_extra:
        for _ in range(5000):
            worker.intake._room.pace.note()
    is_over = threading.Event()

    class Slow:
        """An additional receiver's poll waits."""

        def receive_message(self, **request: Any) -> dict[str, Any]:
            if request["WaitTimeSeconds"] == EXTRA_WAIT_SECONDS:
                with worker.sqs.changed:
                    worker.sqs.asked.append(request)
                is_over.wait(30)
                return {}
            return worker.sqs.receive_message(**request)

    worker.client = Slow()
    worker.put(A, 40)
    worker.intake.consume("a")
    eventually(lambda: worker.in_hand() >= 40 and worker.intake._receivers.overlap_seconds, hidden_for)

    end(worker)

    assert worker.hidden_for == [hidden_for]
    is_over.set()


def test_there_are_never_more_than_four_receivers_of_a_queue(make: Make) -> None:
    worker = make(window=2)
    for _ in range(5000):
        worker.intake._room.pace.note()
    barrier = threading.Barrier(RECEIVERS_PER_QUEUE + 1)
    numbers = iter(range(10_000))

    class Flood:
        def receive_message(self, **_: Any) -> dict[str, Any]:
            if worker.intake._receivers.is_stopping:
                return {}
            with worker.sqs.changed:
                return {"Messages": [raw(f"m{next(numbers)}") for _ in range(10)]}

    def hold(received: Received) -> Received:
        if not barrier.broken:
            with contextlib.suppress(threading.BrokenBarrierError):
                barrier.wait(1)
        return received

    worker.client = Flood()
    worker.read = hold
    worker.intake.consume("a")

    worker.take()
    assert len(worker.receivers()) <= RECEIVERS_PER_QUEUE
    # The fifth never came.
    assert barrier.broken


def test_a_thread_that_cannot_be_started_costs_no_receiver(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    worker = make(window=2)
    for _ in range(5000):
        worker.intake._room.pace.note()
    worker.intake.consume("a")
    eventually(lambda: worker.sqs.polls_waiting(A), 1)

    def full(_: Any) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", full)
    worker.put(A, 60)

    eventually(worker.in_hand, 60)
    assert worker.intake._room.queues["a"].extra == 0


def test_a_failing_sqs_never_ends_the_receiver_is_one_log_line_and_pauses_five_seconds_at_most(
    make: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    drawn: list[float] = []

    def draw(_low: float, high: float) -> float:
        drawn.append(high)
        return 0.0

    monkeypatch.setattr(module, "ConsumedQueue", lambda **known: ConsumedQueue(**known, backoff=Backoff(draw)))
    worker = make()
    worker.sqs.error = ConnectionResetError("by peer")
    with caplog.at_level(logging.INFO, logger=receivers.__name__):
        worker.intake.consume("a")
        eventually(lambda: len(drawn) > 20)
        worker.sqs.error = None
        worker.put(A, 1)
        worker.take()
        eventually(lambda: "sqs polls again" in caplog.messages)

    assert max(drawn) == LONGEST_PAUSE_SECONDS
    assert caplog.messages.count("sqs poll failed") == 1
    assert worker.intake._room.queues["a"].asked <= 4


@pytest.mark.parametrize("answer", [None, [], {"Messages": [{"Body": "{}"}]}, {"Messages": 5}, "<html>"])
def test_an_answer_that_makes_no_sense_is_a_failed_poll(make: Make, answer: Any, caplog: pytest.LogCaptureFixture) -> None:
    worker = make()
    answers = iter([answer])

    class Odd:
        def receive_message(self, **request: Any) -> Any:
            if worker.sqs.asked:
                return worker.sqs.receive_message(**request)
            worker.sqs.asked.append(request)
            return next(answers)

    worker.client = Odd()
    worker.clock = worker.intake._clock = worker.intake._receivers._clock = __import__("time").monotonic
    worker.intake.consume("a")
    worker.put(A, 1)

    eventually(worker.in_hand, 1)


def test_a_message_that_cannot_be_read_does_not_take_its_neighbours_with_it(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    worker = make()

    def read(received: Received) -> Received:
        if received.message_id == "a1":
            raise ValueError("odd")
        return received

    worker.read = read
    worker.put(A, 3)

    worker.intake.consume("a")

    assert [worker.take().message_id, worker.take().message_id] == ["a0", "a2"]
    assert [record.__dict__["sqs_message_id"] for record in caplog.records] == ["a1"]


def test_what_the_reader_dealt_with_otherwise_takes_no_room(make: Make) -> None:
    worker = make(window=1)
    worker.read = lambda received: None if received.message_id != "a5" else received
    worker.put(A, 6)

    worker.intake.consume("a")

    assert worker.take().message_id == "a5"


# -- several queues -----------------------------------------------------------------------------------------------------


def taken(worker: Worker, count: int) -> Counter[str]:
    names: Counter[str] = Counter()
    for _ in range(count):
        received = worker.take()
        names[received.queue] += 1
        worker.pass_time(0.001)
        worker.finish(received)
    return names


def test_buffered_work_is_taken_three_to_one_and_evenly_mixed(make: Make) -> None:
    worker = make({"a": 3, "b": 1}, window=400)
    worker.put(A, 100)
    worker.put(B, 100)
    worker.intake.consume("a")
    worker.intake.consume("b")
    eventually(worker.in_hand, 200)

    order = [worker.take().queue for _ in range(40)]

    assert Counter(order) == {"a": 30, "b": 10}
    assert all("b" in order[start : start + 4] for start in range(0, 40, 4))


def test_a_worker_of_long_jobs_serves_its_queues_by_weight_and_starves_none(make: Make) -> None:
    worker = make({"a": 3, "b": 1}, window=2)
    worker.put(A, 400)
    worker.put(B, 400)
    worker.intake.consume("a")
    worker.intake.consume("b")
    served: Counter[str] = Counter()
    running = [worker.take(), worker.take()]
    for _ in range(80):
        worker.pass_time(60)
        worker.finish(running.pop(0))
        running.append(worker.take())
        served[running[-1].queue] += 1

    assert 55 <= served["a"] <= 65
    assert served["a"] + served["b"] == 80


def test_queues_that_share_scarce_room_do_not_each_take_all_of_it(make: Make) -> None:
    worker = make({"a": 1, "b": 1, "c": 1}, window=2)
    for url in (A, B, C):
        worker.put(url, 50)
    for name in "abc":
        worker.intake.consume(name)
    running = [worker.take(), worker.take()]
    for _ in range(30):
        assert worker.in_hand() <= 2
        worker.pass_time(60)
        worker.finish(running.pop(0))
        running.append(worker.take())

    assert worker.in_hand() <= 2


def test_a_poll_that_waits_at_an_empty_queue_keeps_no_other_from_polling(make: Make) -> None:
    worker = make({"a": 1, "b": 1}, window=1)
    worker.intake.consume("a")
    eventually(lambda: worker.sqs.polls_waiting(A), 1)
    worker.put(B, 1)
    worker.intake.consume("b")

    worker.pass_time(1.5)

    assert worker.take().queue == "b"


# -- giving back ----------------------------------------------------------------------------------------------------------


def test_a_stop_gives_back_what_is_buffered_and_lets_run_what_runs(make: Make) -> None:
    worker = make(window=4)
    worker.put(A, 4)
    worker.intake.consume("a")
    eventually(worker.in_hand, 4)
    running = worker.take()

    worker.intake.stop()

    assert worker.given_back == ["a1", "a2", "a3"]
    assert worker.intake.in_hand() == [running]
    assert worker.intake.outstanding(running.tag) is running


@pytest.mark.parametrize("end", [lambda worker: worker.intake.stop(), lambda worker: worker.intake.cancel("a")], ids=["stop", "cancel"])
def test_what_a_poll_brings_after_the_end_is_given_back(make: Make, end: Callable[[Worker], None]) -> None:
    worker = make()
    worker.intake.consume("a")
    eventually(lambda: worker.sqs.polls_waiting(A), 1)

    end(worker)
    worker.put(A, 2)

    eventually(lambda: worker.given_back, ["a0", "a1"])
    assert worker.intake.in_hand() == []
    assert worker.intake.join(5)


def test_a_poll_that_is_still_under_way_is_told_to_who_waits_for_it(make: Make) -> None:
    worker = make(clock=__import__("time").monotonic)
    worker.intake.consume("a")
    eventually(lambda: worker.sqs.polls_waiting(A), 1)
    worker.intake.stop()

    assert not worker.intake.join(0.01)
    worker.sqs.end_polls()
    assert worker.intake.join(5)


def test_a_cancelled_queue_is_left_and_the_others_go_on(make: Make) -> None:
    worker = make({"a": 1, "b": 1}, window=40)
    worker.put(A, 2)
    worker.intake.consume("a")
    worker.intake.consume("b")
    eventually(worker.in_hand, 2)

    worker.intake.cancel("a")
    worker.put(B, 1)

    assert worker.given_back == ["a0", "a1"]
    assert worker.take().queue == "b"


def test_a_queue_may_be_consumed_again_after_a_stop(make: Make) -> None:
    worker = make()
    worker.intake.consume("a")
    eventually(lambda: worker.sqs.polls_waiting(A), 1)
    worker.intake.stop()
    worker.sqs.end_polls()

    worker.intake.consume("a")
    worker.put(A, 1)

    worker.take()
    eventually(lambda: len(worker.receivers()), 1)


def test_what_waits_in_the_buffer_for_too_long_is_given_back(make: Make) -> None:
    worker = make(prefetch_seconds=2.0)
    worker.put(A, 3)
    worker.intake.consume("a")
    eventually(worker.in_hand, 3)
    running = worker.take()
    worker.pass_time(9)
    assert worker.intake.give_back_stale() == 0
    worker.pass_time(2)

    assert worker.intake.give_back_stale() == 2

    assert worker.given_back == ["a1", "a2"]
    assert worker.intake.in_hand() == [running]


def test_a_buffered_message_whose_lease_is_lost_is_dropped_and_a_running_one_is_not(make: Make) -> None:
    worker = make()
    worker.put(A, 2)
    worker.intake.consume("a")
    eventually(worker.in_hand, 2)
    running = worker.take()
    (buffered,) = [received for received in worker.intake.in_hand() if received is not running]

    assert worker.intake.drop(buffered)
    assert not worker.intake.drop(running)
    assert not worker.intake.drop(buffered)
    assert worker.intake.in_hand() == [running]
    assert worker.given_back == []


# -- deliveries that repeat -------------------------------------------------------------------------------------------------


def test_a_suspended_queue_is_not_polled_and_what_is_buffered_is_put_off(make: Make) -> None:
    worker = make()
    worker.put(A, 2)
    worker.intake.consume("a")
    running = worker.take()
    eventually(worker.in_hand, 2)

    worker.intake.suspend(["a", "unknown"])

    assert len(worker.put_off) == 1
    assert worker.intake.take() is None
    assert worker.in_hand() == 1, "what runs goes on"
    # The poll that was under way when it was suspended brings one more.
    worker.put(A, 1, first=5)
    eventually(lambda: worker.put_off[1:], ["a5"])
    asked = len(worker.sqs.asked)
    worker.put(A, 1, first=6)
    worker.finish(running)
    assert worker.intake.restart_silent() == []
    assert worker.sqs.left(A) == 1
    assert len(worker.sqs.asked) == asked
    assert worker.given_back == []


def test_a_resumed_queue_is_received_from_again(make: Make) -> None:
    worker = make({"a": 1, "b": 1})
    worker.intake.suspend(["a"])
    worker.intake.consume("a")
    worker.intake.consume("b")
    worker.intake.suspend(["a"])
    # The poll under way stands in nobody's way any more.
    worker.pass_time(1)
    worker.put(B, 1)
    assert worker.take().queue == "b"

    worker.intake.resume(["a", "b"])
    worker.sqs.end_polls()
    worker.put(A, 1, first=3)

    assert worker.take().message_id == "a3"


def test_a_message_that_we_hold_and_get_again_swaps_its_handle_and_runs_once(make: Make) -> None:
    worker = make()
    worker.put(A, 1)
    worker.intake.consume("a")
    running = worker.take()
    running.is_lost = True

    worker.sqs.put(A, raw("a0", receive_count=2))

    eventually(lambda: running.handle, "a0#2")
    assert not running.is_lost
    assert running.tag == "a0#1"
    assert worker.intake.take() is None
    assert worker.in_hand() == 1


def test_a_message_that_we_settled_and_get_again_is_deleted_again(make: Make) -> None:
    worker = make()
    worker.put(A, 1)
    worker.intake.consume("a")
    worker.finish(worker.take())

    worker.sqs.put(A, raw("a0", receive_count=2))

    eventually(lambda: worker.again, ["a0#2"])
    assert worker.in_hand() == 0


def test_a_message_that_was_given_back_and_comes_again_is_run(make: Make) -> None:
    worker = make()
    worker.put(A, 1)
    worker.intake.consume("a")
    worker.intake.settled(worker.take().tag, for_good=False)

    worker.sqs.put(A, raw("a0", receive_count=2))

    assert worker.take().handle == "a0#2"
    assert worker.again == []


def test_two_receivers_that_bring_the_same_message_at_the_same_time_run_it_once(make: Make) -> None:
    worker = make()
    both = threading.Barrier(2)

    def read(received: Received) -> Received:
        both.wait(5)
        return received

    worker.read = read
    worker.intake.consume("a")
    eventually(lambda: worker.sqs.polls_waiting(A), 1)
    worker.intake.consume("a")
    eventually(lambda: worker.sqs.polls_waiting(A), 2)
    with worker.sqs.changed:
        worker.sqs.messages[A] = Twice([raw("a0")])
        worker.sqs.changed.notify_all()

    worker.take()
    eventually(lambda: both.n_waiting, 0)

    assert worker.intake.take() is None
    assert worker.in_hand() == 1


class Twice(list[dict[str, Any]]):
    """SQS delivers its messages twice."""

    deliveries = 0

    def __delitem__(self, what: Any) -> None:
        self.deliveries += 1
        if self.deliveries == 2:
            super().__delitem__(what)
        else:
            self[0] = raw("a0", receive_count=2)


class Reader:
    """Reads as slowly as a test wants: messages whose names it was told, not before the test says so."""

    def __init__(self, *slow: str) -> None:
        self.slow = set(slow)
        self.reading: list[Received] = []
        self.go_on = threading.Event()

    def __call__(self, received: Received) -> Received:
        if received.handle in self.slow:
            self.reading.append(received)
            assert self.go_on.wait(10)
        return received

    def await_message(self) -> Received:
        return eventually(lambda: self.reading)[0]


def test_a_message_that_is_being_read_is_held(make: Make) -> None:
    worker = make()
    worker.read = reader = Reader("a0#1")
    worker.put(A, 2)
    worker.intake.consume("a")
    reader.await_message()

    assert sorted(received.message_id for received in worker.intake.in_hand()) == ["a0", "a1"]

    reader.go_on.set()
    worker.finish(worker.take())
    worker.finish(worker.take())
    assert worker.in_hand() == 0


def test_a_message_whose_lease_is_lost_while_it_is_read_is_not_run(make: Make) -> None:
    worker = make()
    worker.read = reader = Reader("a0#1")
    worker.put(A, 2)
    worker.intake.consume("a")

    reader.await_message().is_lost = True
    reader.go_on.set()

    assert worker.take().message_id == "a1"
    assert worker.intake.take() is None
    assert worker.in_hand() == 1


def test_a_message_that_comes_again_and_is_settled_while_it_is_read_is_deleted_again_and_not_run(make: Make) -> None:
    worker = make()
    worker.read = reader = Reader("a0#1")
    worker.put(A, 1)
    worker.intake.consume("a")
    reader.await_message()
    worker.sqs.put(A, raw("a0", receive_count=2))
    worker.intake.consume("a")  # another receiver, as after a poll that hangs
    worker.finish(worker.take())

    reader.go_on.set()

    eventually(lambda: worker.again, ["a0#1"])
    assert worker.intake.take() is None


def test_a_message_that_runs_is_not_given_back_because_it_came_a_second_time_after_the_end(make: Make) -> None:
    worker = make()
    worker.read = reader = Reader("a0#1")
    worker.put(A, 1)
    worker.intake.consume("a")
    reader.await_message()
    worker.sqs.put(A, raw("a0", receive_count=2))
    worker.intake.consume("a")
    running = worker.take()
    worker.intake.stop()

    reader.go_on.set()

    worker.end()
    assert worker.given_back == []
    assert worker.intake.outstanding(running.tag) is running


def test_what_was_settled_long_ago_is_forgotten(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REMEMBERED", 3)
    worker = make()
    worker.put(A, 10)
    worker.intake.consume("a")
    for _ in range(10):
        worker.finish(worker.take())

    assert [name for _, name in worker.intake._settled] == ["a7", "a8", "a9"]


def test_a_tag_that_nobody_took_settles_nothing(make: Make) -> None:
    assert make().intake.settled("never", for_good=True) is None


# -- silence ------------------------------------------------------------------------------------------------------------


class Hanging:
    """The first poll hangs until it is let go."""

    def __init__(self, behind: Backlog) -> None:
        self.behind = behind
        self.let_go = threading.Event()
        self.hung = 0

    def receive_message(self, **request: Any) -> dict[str, Any]:
        if not self.hung:
            self.hung += 1
            self.let_go.wait(30)
            return {"Messages": [raw("late")]}
        return self.behind.receive_message(**request)


def test_a_poll_that_hangs_for_ever_gets_one_successor_and_what_it_brings_late_is_run(make: Make) -> None:
    worker = make(window=4, silent_poll_seconds=60.0)
    worker.client = hanging = Hanging(worker.sqs)
    worker.intake.consume("a")
    eventually(lambda: hanging.hung)
    worker.pass_time(59)
    assert worker.intake.restart_silent() == []
    worker.pass_time(2)

    assert worker.intake.restart_silent() == ["a"]
    assert worker.intake.restart_silent() == []
    worker.put(A, 1)
    assert worker.take().message_id == "a0"
    hanging.let_go.set()

    assert worker.take().message_id == "late"
    eventually(lambda: len(worker.receivers()), 1)


def test_a_queue_without_room_is_not_silent(make: Make) -> None:
    worker = make(window=1)
    worker.put(A, 2)
    worker.intake.consume("a")
    running = worker.take()
    worker.pass_time(3600)

    assert worker.intake.restart_silent() == []

    worker.finish(running)
    worker.take()
    assert len(worker.receivers()) == 1


def test_after_a_stop_nothing_is_restarted(make: Make) -> None:
    worker = make()
    worker.intake.consume("a")
    worker.intake.stop()
    worker.pass_time(3600)

    assert worker.intake.restart_silent() == []


# -- everything at once -----------------------------------------------------------------------------------------------------


def test_every_message_of_two_queues_runs_exactly_once_while_workers_stop_slots_change_and_polls_fail(make: Make) -> None:
    worker = make({"a": 1, "b": 2}, window=8, clock=__import__("time").monotonic)
    failures = iter([True, False] * 10)

    class Flaky:
        def receive_message(self, **request: Any) -> dict[str, Any]:
            answer = worker.sqs.receive_message(**request)
            if not answer.get("Messages") and next(failures, False):
                raise ConnectionResetError
            return answer

    worker.client = Flaky()
    worker.put(A, 500)
    worker.put(B, 500)
    worker.intake.consume("a")
    worker.intake.consume("b")
    done: Counter[str] = Counter()
    for number in range(1000):
        if number % 100 == 50:
            worker.intake.resize(2 + number % 7)
        received = worker.take()
        done[received.message_id] += 1
        worker.finish(received)

    assert len(done) == 1000
    assert set(done.values()) == {1}
    assert worker.in_hand() == 0
