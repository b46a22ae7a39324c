"""What becomes of messages is told to SQS until it has confirmed it: nothing is forgotten, nothing is done twice."""

import logging
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from app.engine.broker import settlement as module
from app.engine.broker.batching import BYTES_PER_BATCH
from app.engine.broker.received import Received
from app.engine.broker.settlement import MOST_THREADS, Settlement
from app.topology.policies import LONGEST_VISIBILITY
from tests.support.eventually import eventually
from tests.unit.engine.broker.fake_sqs import Clock, FakeSqs, address, client_error, connection_refused, failed, received, refusing

DEAD_LETTERS = "https://sqs/dead-letters"
LINGER = 60.0
PAST_ANY_PAUSE = 10.0
Request = dict[str, Any]


class Desk:
    """A settlement under a clock that stands still: what is not due never becomes so by itself."""

    def __init__(self) -> None:
        self.sqs = FakeSqs()
        self.clock = Clock()
        self.gone: list[str] = []
        self.on_deleted: Callable[[Received], None] = lambda received: self.gone.append(received.message_id)
        self.settlement = Settlement(
            lambda: self.sqs,
            linger_seconds=LINGER,
            on_deleted=lambda received: self.on_deleted(received),  # noqa: PLW0108 — a test may exchange it
            clock=self.clock,
        )

    def move(self, one: Received, body: str = "{}") -> None:
        self.settlement.move(one, DEAD_LETTERS, {"MessageBody": body})

    def flush(self) -> bool:
        return self.settlement.flush(5)

    def handles(self, operation: str) -> list[str]:
        return [entry["ReceiptHandle"] for request in self.sqs.of(operation) for entry in request["Entries"]]

    def deleted(self) -> list[str]:
        return self.handles("delete_message_batch")

    def sent(self) -> list[str]:
        return [entry["MessageBody"] for request in self.sqs.of("send_message_batch") for entry in request["Entries"]]


@pytest.fixture
def desk() -> Iterator[Desk]:
    desk = Desk()
    yield desk
    desk.sqs.answer = lambda _operation, _request: {}
    desk.settlement.close(5)


def only(operation: str, answer: Callable[[Request], dict[str, Any]]) -> Callable[[str, Request], dict[str, Any]]:
    return lambda asked, request: answer(request) if asked == operation else {}


def once(operation: str, answer: Callable[[Request], dict[str, Any]]) -> Callable[[str, Request], dict[str, Any]]:
    """Answer so the first time, and with yes from then on."""
    left = [answer]
    return only(operation, lambda request: left.pop()(request) if left else {})


def raising(error: Exception) -> Callable[[Request], dict[str, Any]]:
    def answer(_request: Request) -> dict[str, Any]:
        raise error

    return answer


def jobs(count: int, queue: str = "default", first: int = 0) -> list[Received]:
    return [received(f"m{number}", queue=queue) for number in range(first, first + count)]


# -- batches --------------------------------------------------------------------------------------------------------------


def test_deletes_wait_for_nine_others_and_no_longer(desk: Desk) -> None:
    for one in jobs(9):
        desk.settlement.delete(one)
    assert desk.sqs.calls == []

    desk.settlement.delete(received("m9"))

    eventually(desk.deleted, [f"m{number}#1" for number in range(10)])
    assert len(desk.sqs.of("delete_message_batch")) == 1


def test_deletes_that_have_waited_long_enough_are_told_however_few(desk: Desk) -> None:
    desk.settlement.delete(received("early"))
    desk.clock.now += LINGER

    desk.settlement.give_back([received("wakes the thread")])

    eventually(desk.deleted, ["early#1"])


def test_what_is_given_back_does_not_wait_and_each_queue_is_told_its_own(desk: Desk) -> None:
    desk.settlement.give_back([received("a"), received("b", queue="emails")])
    desk.settlement.give_back([received("later")], seconds=30)

    eventually(lambda: sorted(desk.handles("change_message_visibility_batch")), ["a#1", "b#1", "later#1"])
    told = {
        (request["QueueUrl"], entry["ReceiptHandle"], entry["VisibilityTimeout"])
        for request in desk.sqs.of("change_message_visibility_batch")
        for entry in request["Entries"]
    }
    assert told == {(address(), "a#1", 0), (address("emails"), "b#1", 0), (address(), "later#1", 30)}


def test_a_request_of_moves_never_exceeds_what_sqs_takes_counted_in_bytes(desk: Desk) -> None:
    half = "é" * (BYTES_PER_BATCH // 4 - 10)
    for one, body in zip(jobs(3), (half, half, "x" * 100), strict=True):
        desk.move(one, body)

    assert desk.flush()
    assert [len(request["Entries"]) for request in desk.sqs.of("send_message_batch")] == [2, 1]


# -- failures ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [connection_refused(), client_error("ServiceUnavailable", 503), client_error("AccessDenied", 403)])
@pytest.mark.parametrize("operation", ["delete_message_batch", "change_message_visibility_batch", "send_message_batch"])
def test_what_sqs_does_not_answer_is_told_again(desk: Desk, operation: str, error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    desk.sqs.answer = once(operation, raising(error))
    order: dict[str, Callable[[Received], None]] = {
        "delete_message_batch": desk.settlement.delete,
        "change_message_visibility_batch": lambda one: desk.settlement.give_back([one]),
        "send_message_batch": desk.move,
    }
    order[operation](received("m"))
    # The clock stands still: only a flush ends the pause after the failure, and on a busy machine that may come after it.
    eventually(lambda: desk.settlement.flush(0.05), True, within=10)

    assert caplog.messages == ["sqs settle failed, trying again"]
    first, second = desk.sqs.of(operation)
    assert first == second


def test_a_lane_that_fails_pauses_and_its_failures_are_one_log_line(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    desk.sqs.answer = refusing(connection_refused())
    for one in jobs(10):
        desk.settlement.delete(one)
    eventually(lambda: len(desk.sqs.calls), 1)

    for asked, queue in ((2, "emails"), (3, "reports"), (4, "notifications")):
        # The pause is drawn; nothing happens before it is over.
        desk.clock.now += PAST_ANY_PAUSE
        desk.settlement.give_back([received("wakes the thread", queue=queue)])
        eventually(lambda: len(desk.sqs.of("delete_message_batch")), asked)

    failures = [record for record in caplog.records if getattr(record, "what", "") == "delete"]
    assert len(failures) == 1


def test_what_is_sqs_s_fault_is_told_again_and_what_is_ours_is_not(desk: Desk) -> None:
    desk.sqs.answer = once("delete_message_batch", lambda _request: {"Failed": [failed("1"), failed("2", sender_fault=True)]})
    for one in jobs(4):
        desk.settlement.delete(one)

    assert desk.flush()
    assert [len(request["Entries"]) for request in desk.sqs.of("delete_message_batch")] == [4, 1]
    assert desk.deleted()[4:] == ["m1#1"]
    assert sorted(desk.gone) == ["m0", "m1", "m3"], "m2 is somebody else's: its body is still needed"
    assert desk.settlement.unconfirmed() == []


def test_a_server_that_does_not_say_whose_fault_it_is_is_told_again(desk: Desk) -> None:
    desk.sqs.answer = once("send_message_batch", lambda _request: {"Failed": [{"Id": "1", "Code": "InternalError"}]})
    for one in jobs(3):
        desk.move(one, one.message_id)

    assert desk.flush()
    assert desk.sent() == ["m0", "m1", "m2", "m1"]


def test_a_move_that_sqs_will_never_take_is_left_for_the_redrive_policy_and_its_neighbours_are_moved(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    desk.sqs.answer = once(
        "send_message_batch", lambda _request: {"Failed": [failed("1", code="InvalidParameterValue", sender_fault=True)]}
    )
    for one in jobs(3):
        desk.move(one)

    assert desk.flush()
    assert sorted(desk.deleted()) == ["m0#1", "m2#1"]
    assert "message cannot be moved" in caplog.messages
    assert desk.settlement.unconfirmed() == []


def test_one_bad_message_that_refuses_a_whole_request_of_moves_is_found_and_left(desk: Desk) -> None:
    def answer(request: Request) -> dict[str, Any]:
        if any(entry["MessageBody"] == "bad" for entry in request["Entries"]):
            raise client_error("InvalidMessageContents")
        return {}

    desk.sqs.answer = only("send_message_batch", answer)
    for one, body in zip(jobs(3), ("a", "bad", "b"), strict=True):
        desk.move(one, body)

    assert desk.flush()
    assert desk.sent() == ["a", "bad", "b", "a", "bad", "b"]
    assert sorted(desk.deleted()) == ["m0#1", "m2#1"]


def test_while_a_bad_message_is_looked_for_an_outage_repeats_only_what_was_not_sent(desk: Desk) -> None:
    alone: list[str] = []

    def answer(request: Request) -> dict[str, Any]:
        if len(request["Entries"]) > 1 and not alone:
            raise client_error("InvalidMessageContents")
        alone.append(request["Entries"][0]["MessageBody"])
        if alone == ["m0", "m1"]:
            raise connection_refused()
        return {}

    desk.sqs.answer = only("send_message_batch", answer)
    for one in jobs(3):
        desk.move(one, one.message_id)

    assert desk.flush()
    assert desk.sent() == ["m0", "m1", "m2", "m0", "m1", "m1", "m2"]


def test_a_poisonous_order_does_not_keep_the_others_of_its_lane_waiting(desk: Desk) -> None:
    def answer(request: Request) -> dict[str, Any]:
        return {"Failed": [failed(entry["Id"]) for entry in request["Entries"] if entry["ReceiptHandle"] == "poison#1"]}

    desk.sqs.answer = only("delete_message_batch", answer)
    desk.settlement.delete(received("poison"))
    for one in jobs(19):
        desk.settlement.delete(one)

    assert not desk.settlement.flush(0.2)
    assert sorted(set(desk.deleted()) - {"poison#1"}) == sorted(f"m{number}#1" for number in range(19))
    assert [one.message_id for one in desk.settlement.unconfirmed()] == ["poison"]


def test_whoever_hears_of_a_delete_may_fail_and_nothing_is_deleted_twice(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    def fail(_received: Received) -> None:
        raise ValueError("I cannot bear it")

    desk.on_deleted = fail
    for one in jobs(2):
        desk.settlement.delete(one)

    assert desk.flush()
    assert desk.deleted() == ["m0#1", "m1#1"]
    assert caplog.messages.count("settlement: unexpected error, going on") == 2


@pytest.mark.parametrize("kind", ["delete", "move"])
def test_after_twelve_hours_sqs_has_ended_the_lease_and_there_is_nothing_left_to_tell(
    desk: Desk, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    desk.sqs.answer = refusing(connection_refused())
    old = received("old")
    desk.move(old) if kind == "move" else desk.settlement.delete(old)
    desk.clock.now += (LONGEST_VISIBILITY - timedelta(seconds=1)).total_seconds()
    assert not desk.settlement.flush(0.2)
    assert desk.settlement.unconfirmed() == [old]
    desk.clock.now += 1

    assert desk.flush()
    assert desk.settlement.unconfirmed() == []
    assert ("message cannot be moved" in caplog.messages) == (kind == "move")


# -- one delivery after the other ---------------------------------------------------------------------------------------------


def test_a_message_that_comes_again_while_its_delete_is_pending_is_deleted_once_by_its_newest_handle(desk: Desk) -> None:
    first = received("m")
    first.is_lost = True
    desk.settlement.delete(first)

    desk.settlement.delete_again(received("m", receive_count=2))

    assert desk.flush()
    assert desk.deleted() == ["m#2"]
    assert not first.is_lost


def test_a_message_that_comes_again_while_its_delete_is_under_way_is_deleted_again_because_the_old_handle_deleted_nothing(
    desk: Desk,
) -> None:
    under_way, answered = threading.Event(), threading.Event()

    def answer(_request: Request) -> dict[str, Any]:
        under_way.set()
        answered.wait(5)
        return {}

    desk.sqs.answer = only("delete_message_batch", answer)
    for one in jobs(10):
        desk.settlement.delete(one)
    assert under_way.wait(5)
    desk.settlement.delete_again(received("m3", receive_count=2))
    answered.set()

    assert desk.flush()
    assert desk.deleted()[10:] == ["m3#2"]
    assert sorted(desk.gone) == sorted(f"m{number}" for number in range(10)), "and its body is removed when it is gone, once"


def test_a_message_that_was_deleted_and_comes_again_is_deleted_again(desk: Desk) -> None:
    desk.settlement.delete(received("m"))
    assert desk.flush()

    desk.settlement.delete_again(received("m", receive_count=2))

    assert desk.flush()
    assert desk.deleted() == ["m#1", "m#2"]


def test_a_message_that_comes_again_while_it_is_moved_is_sent_once_and_deleted_by_its_newest_handle(desk: Desk) -> None:
    desk.move(received("m"))
    desk.move(received("m", receive_count=2))

    assert desk.flush()
    assert (desk.sent(), desk.deleted()) == (["{}"], ["m#2"])


def test_a_message_that_comes_again_after_it_was_moved_is_deleted_and_not_sent_twice(desk: Desk) -> None:
    desk.move(received("m"))
    assert desk.flush()

    desk.move(received("m", receive_count=2))

    assert desk.flush()
    assert (desk.sent(), desk.deleted()) == (["{}"], ["m#1", "m#2"])


def test_a_message_is_not_deleted_before_its_copy_is_sent(desk: Desk) -> None:
    desk.sqs.answer = only("send_message_batch", raising(connection_refused()))
    desk.move(received("m"))
    assert not desk.settlement.flush(0.2)
    assert desk.deleted() == []
    desk.sqs.answer = lambda _operation, _request: {}

    assert desk.flush()
    assert desk.deleted() == ["m#1"]


def test_what_a_moved_message_refers_to_is_still_needed(desk: Desk) -> None:
    desk.move(received("moved"))
    desk.settlement.delete(received("done"))

    assert desk.flush()
    assert desk.gone == ["done"]


def test_a_message_that_could_not_be_moved_is_not_deleted_when_it_comes_again(desk: Desk) -> None:
    desk.settlement.leave(received("m"), "because")

    desk.settlement.delete_again(received("m", receive_count=2))

    assert desk.flush()
    assert desk.deleted() == []


def test_the_memory_of_what_was_moved_is_bounded(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REMEMBERED", 3)
    for one in jobs(5):
        desk.move(one)
        desk.settlement.leave(one, "because")
    assert desk.flush()

    assert len(desk.settlement._moved) == len(desk.settlement._left) == 3


def test_until_sqs_has_confirmed_it_a_lease_is_to_be_renewed_but_not_of_what_is_given_back(desk: Desk) -> None:
    desk.sqs.answer = refusing(connection_refused())
    desk.settlement.delete(received("done"))
    desk.settlement.give_back([received("given back")])
    desk.move(received("moved"))
    assert not desk.settlement.flush(0.2)

    assert sorted(one.message_id for one in desk.settlement.unconfirmed()) == ["done", "moved"]


# -- threads ------------------------------------------------------------------------------------------------------------------


def test_a_lane_whose_requests_hang_holds_up_no_other(desk: Desk) -> None:
    heal = threading.Event()
    desk.sqs.answer = only("send_message_batch", lambda _request: {"Successful": heal.wait(10)})
    for one in jobs(60):
        desk.move(one)
    # Not more than that at once, however many wait.
    eventually(lambda: len(desk.sqs.of("send_message_batch")), module.MOST_PER_LANE)

    for one in jobs(30, queue="emails"):
        desk.settlement.delete(one)

    eventually(lambda: len(desk.deleted()), 30)
    assert len(desk.sqs.of("send_message_batch")) == module.MOST_PER_LANE
    heal.set()
    assert desk.flush()
    assert len(desk.sent()) == 60


def test_there_are_never_more_than_four_threads(desk: Desk) -> None:
    heal = threading.Event()
    desk.sqs.answer = lambda _operation, _request: {"Successful": heal.wait(10)}
    before = set(threading.enumerate())
    for queue in ("default", "emails", "reports"):
        for one in jobs(40, queue=queue):
            desk.settlement.delete(one)
    eventually(lambda: len(desk.sqs.calls), MOST_THREADS)

    # Those of an earlier test may be ending meanwhile.
    assert len(set(threading.enumerate()) - before) == MOST_THREADS
    heal.set()
    assert desk.flush()
    assert len(set(desk.deleted())) == 40


def test_where_no_thread_can_be_started_the_next_order_tries_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def no_more(*_: Any) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", no_more)
        desk.settlement.give_back([received("first")])
    assert "no thread to tell sqs" in caplog.messages
    assert desk.sqs.calls == []

    assert desk.flush()
    assert desk.handles("change_message_visibility_batch") == ["first#1"]


def test_a_flush_that_cannot_tell_everything_in_time_says_so(desk: Desk) -> None:
    desk.sqs.answer = refusing(connection_refused())
    desk.settlement.delete(received("m"))

    assert not desk.settlement.flush(0.1)
    desk.sqs.answer = lambda _operation, _request: {}
    assert desk.settlement.flush(5), "whatever pause was meant to be made"


def test_a_close_tells_everything_ends_the_threads_and_what_is_ordered_later_is_tried_once(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    desk.settlement.delete(received("before"))
    assert desk.settlement.close(5)
    assert desk.deleted() == ["before#1"]
    eventually(lambda: desk.settlement._threads, 0)

    desk.settlement.give_back([received("after")])
    eventually(lambda: desk.handles("change_message_visibility_batch"), ["after#1"])
    eventually(lambda: desk.settlement._threads, 0)
    desk.sqs.answer = refusing(connection_refused())
    desk.settlement.delete(received("in vain"))

    eventually(lambda: desk.settlement._threads, 0)
    assert desk.deleted() == ["before#1", "in vain#1"]
