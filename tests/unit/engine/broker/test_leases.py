"""Who holds a message keeps it."""

import os
from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from app.engine.broker.errors import LeaseLost
from app.engine.broker.leases import ENTRIES_PER_BATCH, Leases
from app.engine.broker.lost_leases import LostLeases, check_lease, has_lost_lease, lost_leases
from app.engine.broker.received import Received
from tests.unit.engine.broker.fake_sqs import FakeSqs, client_error, connection_refused, failed

TIMEOUT = timedelta(seconds=60)
SLOW_TIMEOUT = timedelta(minutes=2)
SLOW_QUEUE = "http://sqs/1/reports"
THIRD = TIMEOUT.total_seconds() / 3
HOUR = 3600.0


class Worker:
    """Leases under a clock that the test turns, renewing for the messages that it says are held."""

    def __init__(self) -> None:
        self.sqs = FakeSqs()
        self.now = 1000.0
        self.held: list[Received] = []
        self.overdue: set[str] = set()
        self.lost: list[str] = []
        self.board = LostLeases()
        self.leases = Leases(
            lambda: self.sqs,
            held=lambda: list(self.held),
            timeout_of=lambda url: SLOW_TIMEOUT if url == SLOW_QUEUE else TIMEOUT,
            is_overdue=lambda received: received.tag in self.overdue,
            on_lost=lambda received: self.lost.append(received.tag),
            lost=self.board,
            clock=lambda: self.now,
        )

    def hold(self, handle: str, url: str = "http://sqs/1/queue") -> Received:
        received = Received(queue="queue", url=url, raw={"ReceiptHandle": handle, "MessageId": handle}, received_at=self.now)
        self.held.append(received)
        return received

    def turn(self, seconds: float = 0) -> list[str]:
        """Let time pass, make one turn, and return the handles that were renewed."""
        before = len(self.sqs.of("change_message_visibility_batch"))
        self.now += seconds
        self.leases.renew_due()
        return [
            entry["ReceiptHandle"] for request in self.sqs.of("change_message_visibility_batch")[before:] for entry in request["Entries"]
        ]


@pytest.fixture
def worker() -> Worker:
    return Worker()


def raising(error: Exception) -> Callable[[str, dict[str, Any]], dict[str, Any]]:
    def answer(_operation: str, _request: dict[str, Any]) -> dict[str, Any]:
        raise error

    return answer


def test_a_lease_is_renewed_when_a_third_of_it_has_passed_and_not_before(worker: Worker) -> None:
    worker.hold("r")

    assert worker.turn() == []
    assert worker.turn(THIRD - 1) == []
    assert worker.turn(1) == ["r"]
    assert worker.turn(1) == []
    assert worker.turn(THIRD) == ["r"]


def test_a_renewal_asks_for_the_timeout_of_the_message_s_own_queue(worker: Worker) -> None:
    worker.hold("quick")
    worker.hold("slow", SLOW_QUEUE)

    assert worker.turn(THIRD) == ["quick"]
    assert sorted(worker.turn(THIRD)) == ["quick", "slow"]
    asked = {
        request["QueueUrl"]: request["Entries"][0]["VisibilityTimeout"] for request in worker.sqs.of("change_message_visibility_batch")
    }
    assert asked == {"http://sqs/1/queue": 60, SLOW_QUEUE: 120}


def test_renewals_travel_in_tens(worker: Worker) -> None:
    for number in range(ENTRIES_PER_BATCH * 2 + 1):
        worker.hold(f"r{number}")
    worker.turn(THIRD)

    assert [len(request["Entries"]) for request in worker.sqs.of("change_message_visibility_batch")] == [10, 10, 1]


def test_a_settled_message_is_renewed_no_more(worker: Worker) -> None:
    worker.hold("r")
    worker.turn(THIRD)
    worker.held.clear()

    assert worker.turn(THIRD) == []


def test_the_newest_handle_is_renewed(worker: Worker) -> None:
    worker.hold("old").handle = "new"

    assert worker.turn(THIRD) == ["new"]


def test_a_lease_ends_before_the_twelve_hours_that_sqs_allows(worker: Worker) -> None:
    received = worker.hold("r")
    for _ in range(int(12 * HOUR / THIRD)):
        worker.turn(THIRD)

    assert worker.lost == ["r"]
    assert received.is_lost
    assert worker.turn(THIRD) == []


def test_a_run_that_should_have_been_killed_is_renewed_no_more_and_told(worker: Worker) -> None:
    worker.hold("r")
    worker.turn(THIRD)
    worker.overdue.add("r")

    assert worker.turn(THIRD) == []
    assert worker.lost == []
    worker.turn(TIMEOUT.total_seconds())
    assert worker.lost == ["r"]
    assert "r" in worker.board


@pytest.mark.parametrize("error", [connection_refused(), client_error("ServiceUnavailable", 503), client_error("AccessDenied", 403)])
def test_a_renewal_that_fails_is_tried_again_at_the_next_turn(worker: Worker, error: Exception) -> None:
    worker.hold("r")
    worker.sqs.answer = raising(error)
    worker.turn(THIRD)
    worker.sqs.answer = lambda _operation, _request: {}

    assert worker.turn(1) == ["r"]
    assert worker.lost == []


def test_of_a_renewal_that_fails_in_part_only_what_is_sqs_s_fault_is_tried_again(worker: Worker) -> None:
    for handle in ("ours", "theirs", "fine"):
        worker.hold(handle)
    worker.sqs.answer = lambda _operation, _request: {"Failed": [failed("0", sender_fault=True), failed("1")]}
    worker.turn(THIRD)
    worker.sqs.answer = lambda _operation, _request: {}

    assert worker.turn(1) == ["theirs"]
    assert worker.lost == ["ours"]
    assert worker.turn(THIRD - 1) == ["fine"]


def test_when_sqs_is_silent_for_a_whole_timeout_the_run_is_told_and_the_lease_still_asked_for(worker: Worker) -> None:
    received = worker.hold("r")
    worker.sqs.answer = raising(connection_refused())
    worker.turn(TIMEOUT.total_seconds() + 1)
    worker.turn(1)
    assert (worker.lost, received.is_lost) == (["r"], True)
    worker.sqs.answer = lambda _operation, _request: {}

    assert worker.turn(1) == ["r"]
    assert "r" in worker.board, "somebody else may have had it meanwhile"


def test_when_sqs_answers_for_a_whole_timeout_that_it_cannot_the_run_is_told_as_well(worker: Worker) -> None:
    worker.hold("r")
    worker.sqs.answer = lambda _operation, _request: {"Failed": [failed("0")]}
    worker.turn(TIMEOUT.total_seconds())
    assert worker.lost == []
    worker.turn(1)
    assert worker.lost == ["r"]
    worker.sqs.answer = lambda _operation, _request: {}

    assert worker.turn(1) == ["r"]


def test_a_lease_that_comes_back_to_us_is_ours_again(worker: Worker) -> None:
    received = worker.hold("r")
    worker.sqs.answer = lambda _operation, _request: {"Failed": [failed("0", sender_fault=True)]}
    worker.turn(THIRD)
    assert "r" in worker.board
    worker.sqs.answer = lambda _operation, _request: {}
    received.handle, received.is_lost = "newer", False
    worker.turn()

    assert "r" not in worker.board
    assert worker.turn(THIRD) == ["newer"]


# -- the board ----------------------------------------------------------------------------------------------------------


def test_a_forked_child_sees_what_the_parent_writes_afterwards() -> None:
    board = LostLeases()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.read(reader, 1)
        os._exit(0 if "tag" in board and "other" not in board else 1)
    board.add("tag")
    os.write(writer, b"x")

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    os.close(reader)
    os.close(writer)


def test_the_board_forgets_the_oldest_first() -> None:
    board = LostLeases()
    for number in range(4097):
        board.add(f"tag{number}")

    assert "tag0" not in board
    assert "tag1" in board
    assert "tag4096" in board


def test_a_run_may_ask_whether_its_message_is_still_its_own() -> None:
    request = SimpleNamespace(properties={"delivery_tag": "a-handle"})
    check_lease(request)
    lost_leases().add("a-handle")

    assert has_lost_lease(request)
    with pytest.raises(LeaseLost, match="another worker"):
        check_lease(request)
    lost_leases().discard("a-handle")
    assert not has_lost_lease(SimpleNamespace(properties=None)), "a run that did not come from SQS"
