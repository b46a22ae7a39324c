"""Who holds a message keeps it."""

from typing import Any

import pytest

from app.engine.aws import clients
from app.engine.broker.leases import ENTRIES_PER_BATCH, Leases
from app.engine.conf import engine_settings
from tests.unit.engine.broker.fake_sqs import FakeSqs, address, client_error, connection_refused, failed

TIMEOUT = int(engine_settings().topology.queue("default").visibility_timeout.total_seconds())
SLOW_TIMEOUT = int(engine_settings().topology.queue("reports").visibility_timeout.total_seconds())
HOUR = 3600.0


class Worker:
    """Leases under a clock that the test turns, renewing for the messages that it says are held."""

    def __init__(self, sqs: FakeSqs) -> None:
        self.sqs = sqs
        self.now = 1000.0
        self.held: list[tuple[str, str]] = []
        self.leases = Leases(engine_settings(), held=lambda: list(self.held), clock=lambda: self.now)

    def turn(self, seconds: float = 0) -> list[str]:
        """Let time pass, make one turn of the thread, and return the handles that were renewed."""
        before = len(self.sqs.of("change_message_visibility_batch"))
        self.now += seconds
        self.leases._delete_again()
        self.leases.renew_due()
        return [
            entry["ReceiptHandle"] for request in self.sqs.of("change_message_visibility_batch")[before:] for entry in request["Entries"]
        ]

    def deleted(self) -> list[str]:
        return [entry["ReceiptHandle"] for request in self.sqs.of("delete_message_batch") for entry in request["Entries"]]


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Worker:
    sqs = FakeSqs()
    monkeypatch.setattr(clients, "sqs", lambda _: sqs)
    return Worker(sqs)


def refusing(error: Exception) -> Any:
    def answer(_operation: str, _request: dict[str, Any]) -> dict[str, Any]:
        raise error

    return answer


# -- renewing -----------------------------------------------------------------------------------------------------------


def test_a_lease_is_renewed_when_a_third_of_it_has_passed_and_not_before(worker: Worker) -> None:
    worker.held = [(address(), "r")]

    assert worker.turn() == []
    assert worker.turn(TIMEOUT / 3 - 1) == []
    assert worker.turn(1) == ["r"]
    assert worker.turn(1) == []
    assert worker.turn(TIMEOUT / 3) == ["r"]


def test_a_renewal_asks_for_the_timeout_of_the_message_s_own_queue(worker: Worker) -> None:
    worker.held = [(address("default"), "quick"), (address("reports"), "slow")]
    worker.turn()

    assert worker.turn(TIMEOUT / 3) == ["quick"]
    assert sorted(worker.turn(SLOW_TIMEOUT / 3 - TIMEOUT / 3)) == ["quick", "slow"]
    asked = {
        request["QueueUrl"]: request["Entries"][0]["VisibilityTimeout"] for request in worker.sqs.of("change_message_visibility_batch")
    }
    assert asked == {address("default"): TIMEOUT, address("reports"): SLOW_TIMEOUT}


def test_what_the_deployed_queue_says_decides_and_is_asked_once(worker: Worker) -> None:
    worker.sqs.visibility_timeouts[address()] = 2 * TIMEOUT
    worker.held = [(address(), "r"), (address(), "s")]
    worker.turn()

    assert worker.turn(TIMEOUT / 3) == []
    assert worker.turn(TIMEOUT / 3) == ["r", "s"]
    assert worker.sqs.of("get_queue_attributes") == [{"QueueUrl": address(), "AttributeNames": ["VisibilityTimeout"]}]
    assert worker.sqs.of("change_message_visibility_batch")[0]["Entries"][0]["VisibilityTimeout"] == 2 * TIMEOUT


def test_while_the_queue_does_not_say_its_timeout_the_declared_one_counts_and_each_turn_asks_once(worker: Worker) -> None:
    def answer(operation: str, _request: dict[str, Any]) -> dict[str, Any]:
        if operation == "get_queue_attributes":
            raise client_error("AccessDenied", 403)
        return {}

    worker.sqs.answer = answer
    worker.held = [(address(), f"r{number}") for number in range(5)]
    worker.turn()

    assert len(worker.turn(TIMEOUT / 3)) == 5
    assert len(worker.sqs.of("get_queue_attributes")) == 2


def test_renewals_travel_in_tens(worker: Worker) -> None:
    worker.held = [(address(), f"r{number}") for number in range(23)]
    worker.turn()

    assert len(worker.turn(TIMEOUT / 3)) == 23
    assert [len(request["Entries"]) for request in worker.sqs.of("change_message_visibility_batch")] == [
        ENTRIES_PER_BATCH,
        ENTRIES_PER_BATCH,
        3,
    ]


def test_a_settled_message_is_renewed_no_more(worker: Worker) -> None:
    worker.held = [(address(), "done"), (address(), "running")]
    worker.turn()
    worker.held = [(address(), "running")]

    assert worker.turn(TIMEOUT / 3) == ["running"]
    assert worker.leases._renewed_at.keys() == {"running"}


def test_a_lease_ends_before_the_twelve_hours_that_sqs_allows(worker: Worker) -> None:
    worker.held = [(address(), "r")]
    worker.turn()

    assert worker.turn(12 * HOUR - 3 * TIMEOUT) == ["r"]
    assert worker.turn(TIMEOUT + 1) == []
    assert worker.turn(HOUR) == []


@pytest.mark.parametrize(
    "error", [connection_refused(), client_error("ServiceUnavailable", 503), client_error("AccessDenied", 403), OSError("reset")]
)
def test_a_renewal_that_fails_is_tried_again_at_the_next_turn(worker: Worker, error: Exception) -> None:
    worker.held = [(address(), "r")]
    worker.turn()
    worker.sqs.answer = refusing(error)
    worker.turn(TIMEOUT / 3)

    worker.sqs.answer = lambda _operation, _request: {}

    assert worker.turn(2) == ["r"]


def test_of_a_renewal_that_fails_in_part_only_what_is_sqs_s_fault_is_tried_again(worker: Worker) -> None:
    worker.held = [(address(), "stale"), (address(), "unlucky"), (address(), "good")]
    worker.turn()
    worker.sqs.answer = lambda _operation, _request: {
        "Failed": [failed("0", code="InvalidParameterValue", sender_fault=True), failed("1")],
    }
    worker.turn(TIMEOUT / 3)

    worker.sqs.answer = lambda _operation, _request: {}

    assert worker.turn(2) == ["unlucky"]


# -- deleting -----------------------------------------------------------------------------------------------------------


def test_a_delete_is_repeated_until_sqs_answers(worker: Worker) -> None:
    worker.leases.delete_later(address(), "r")
    worker.sqs.answer = refusing(connection_refused())
    worker.turn(2)
    worker.turn(2)
    worker.sqs.answer = lambda _operation, _request: {}
    worker.turn(2)
    worker.turn(2)

    assert worker.deleted() == ["r", "r", "r"]


def test_until_it_is_deleted_the_message_of_a_finished_job_stays_invisible(worker: Worker) -> None:
    worker.held = [(address(), "r")]
    worker.turn()
    worker.held = []
    worker.leases.delete_later(address(), "r")
    worker.sqs.answer = refusing(connection_refused())

    assert worker.turn(TIMEOUT / 3) == ["r"]

    worker.sqs.answer = lambda _operation, _request: {}
    worker.turn(1)

    assert worker.turn(TIMEOUT / 3) == []


def test_of_deletes_that_fail_in_part_only_what_is_sqs_s_fault_is_repeated(worker: Worker) -> None:
    for handle in ("stale", "unlucky", "good"):
        worker.leases.delete_later(address(), handle)
    worker.sqs.answer = lambda _operation, _request: {
        "Failed": [failed("0", code="ReceiptHandleIsInvalid", sender_fault=True), failed("1")],
    }
    worker.turn()
    worker.sqs.answer = lambda _operation, _request: {}
    worker.turn(2)

    assert worker.deleted() == ["stale", "unlucky", "good", "unlucky"]


def test_deletes_travel_in_tens_and_per_queue(worker: Worker) -> None:
    for number in range(12):
        worker.leases.delete_later(address("default"), f"d{number}")
    worker.leases.delete_later(address("emails"), "e")

    worker.turn()

    assert [(request["QueueUrl"], len(request["Entries"])) for request in worker.sqs.of("delete_message_batch")] == [
        (address("default"), 10),
        (address("default"), 2),
        (address("emails"), 1),
    ]


# -- the thread ---------------------------------------------------------------------------------------------------------


def test_stopping_ends_the_thread_and_tries_the_deletes_a_last_time(worker: Worker) -> None:
    worker.leases.start()
    worker.leases.delete_later(address(), "r")

    worker.leases.stop()

    assert not worker.leases._thread.is_alive()
    assert worker.deleted() == ["r"]
