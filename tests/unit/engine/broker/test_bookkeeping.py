"""Between the transport and the ledger of jobs: what waits for what."""

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from typing import Any

import pytest

from app.engine.broker.bookkeeping import Bookkeeping
from app.engine.broker.received import Received
from app.engine.job_ledger import RUN, Admission, Delivery, Keeping, RecordedFailure, Verdict
from tests.support.eventually import eventually

URL = "https://sqs/1/jobs"


class FakeLedger:
    """Answers what the test says, and keeps what it was told."""

    def __init__(self) -> None:
        self.admissions: dict[str, Admission] = {}
        self.leases: list[float] = []
        self.renewed: list[str] = []
        self.released: list[str] = []
        self.lost: set[str] = set()
        self.waiting: dict[str, Callable[[Keeping], None]] = {}
        self.broken = False
        self.release_may_end = threading.Event()
        self.release_may_end.set()

    def admit(self, deliveries: Sequence[Delivery], lease_seconds: float) -> Sequence[Admission]:
        if self.broken:
            raise RuntimeError("a mistake of ours")
        self.leases.append(lease_seconds)
        answers = [self.admissions.get(delivery.message_id, RUN) for delivery in deliveries]
        for delivery, answer in zip(deliveries, answers, strict=True):
            if answer.verdict is Verdict.RUN:
                delivery.fence = 1
        return answers

    def renew(self, deliveries: Sequence[Delivery], lease_seconds: float) -> Sequence[Delivery]:
        self.renewed += [delivery.message_id for delivery in deliveries]
        return [delivery for delivery in deliveries if delivery.message_id in self.lost]

    def release(self, deliveries: Sequence[Delivery]) -> None:
        self.release_may_end.wait(10)
        self.released += [delivery.message_id for delivery in deliveries]

    def when_kept(self, delivery: Delivery, then: Callable[[Keeping], None], failure: str = "") -> None:
        self.waiting[delivery.message_id] = then

    def flush(self, within: float) -> bool:
        return not self.waiting


class Desk:
    def __init__(self) -> None:
        self.ledger: FakeLedger | None = FakeLedger()
        self.shown: list[tuple[str, int]] = []
        self.discarded: list[str] = []
        self.buried: list[tuple[str, str]] = []
        self.reopened: list[str] = []
        self.put_off: list[tuple[str, int]] = []
        self.held: list[Received] = []
        self.told: list[tuple[str, str]] = []
        self.visibility = timedelta(seconds=30)
        self.bookkeeping = Bookkeeping(
            lambda: self.ledger,
            timeout_of=lambda _: self.visibility,
            show=self._show,
            reopen=lambda one: self.reopened.append(one.message_id),
            discard=lambda one: self.discarded.append(one.message_id),
            bury=lambda one, failure: self.buried.append((one.message_id, failure.exception)),
            put_off=lambda one, seconds: self.put_off.append((one.message_id, seconds)),
            held=lambda: list(self.held),
            on_lost=self._lose,
        )

    def _show(self, messages: Iterable[Received], seconds: int) -> None:
        self.shown += [(one.message_id, seconds) for one in messages]

    def _lose(self, received: Received, reason: str) -> None:
        received.is_lost = True
        self.told.append((received.message_id, reason))

    @property
    def book(self) -> FakeLedger:
        assert self.ledger is not None
        return self.ledger


@pytest.fixture
def desk() -> Any:
    made = Desk()
    yield made
    if made.ledger:
        made.ledger.waiting.clear()
    made.bookkeeping.flush(1)


def message(number: int, fence: int | None = None) -> Received:
    raw = {"MessageId": f"m{number}", "ReceiptHandle": f"h{number}", "Body": "{}"}
    received = Received(queue="jobs", url=URL, raw=raw, received_at=time.monotonic())
    received.fence = fence
    return received


def test_what_the_ledger_admits_runs_and_the_rest_is_dealt_with(desk: Desk) -> None:
    desk.book.admissions = {
        "m1": Admission(verdict=Verdict.FINISHED, reason="done"),
        "m2": Admission(verdict=Verdict.LATER, seconds=7, is_copy=True),
        "m3": Admission(verdict=Verdict.LATER, seconds=5),
        "m5": Admission(verdict=Verdict.FAILED, failure=RecordedFailure(exception="ValueError", message="no", trace="", attempts=1)),
    }

    admitted = desk.bookkeeping.admitted([message(number) for number in range(6)])

    assert [one.message_id for one in admitted] == ["m0", "m4"]
    assert (desk.discarded, desk.put_off, desk.shown) == (["m1"], [("m2", 7)], [("m3", 5)])
    assert desk.buried == [("m5", "ValueError")]


@pytest.mark.parametrize(("visibility", "lease"), [(30, 29), (2, 1), (1, 0.5)])
def test_a_claim_ends_before_others_can_see_the_message(desk: Desk, visibility: int, lease: float) -> None:
    desk.visibility = timedelta(seconds=visibility)
    desk.bookkeeping.admitted([message(1)])

    assert desk.book.leases == [lease]


def test_without_a_ledger_or_with_a_broken_one_everything_runs(desk: Desk) -> None:
    desk.book.broken = True
    assert len(desk.bookkeeping.admitted([message(1), message(2)])) == 2

    desk.ledger = None
    settled: list[str] = []
    assert len(desk.bookkeeping.admitted([message(1)])) == 1
    desk.bookkeeping.after_result(message(1), lambda: settled.append("now"))
    desk.bookkeeping.give_back([message(1)])
    assert (settled, desk.shown) == (["now"], [("m1", 0)])


def test_sqs_is_told_when_the_result_is_stored_and_the_lease_is_renewed_until_then(desk: Desk) -> None:
    settled: list[str] = []
    delivery = message(1, fence=1)
    desk.bookkeeping.after_result(delivery, lambda: settled.append("told"))
    assert (settled, desk.bookkeeping.unkept()) == ([], [delivery])

    desk.book.waiting.pop("m1")(Keeping.STORED)

    assert (settled, desk.bookkeeping.unkept()) == (["told"], [])


def test_a_refused_result_gives_the_message_back_and_a_lost_one_leaves_it_alone(desk: Desk) -> None:
    settled: list[str] = []
    for number in (1, 2):
        desk.bookkeeping.after_result(message(number, fence=1), lambda: settled.append("told"))
    desk.book.waiting.pop("m1")(Keeping.REFUSED)
    desk.book.waiting.pop("m2")(Keeping.LOST)

    assert (settled, desk.reopened, desk.shown, desk.bookkeeping.unkept()) == ([], ["m1"], [], [])


def test_a_claim_is_given_back_before_its_message_is_shown_and_the_caller_does_not_wait(desk: Desk) -> None:
    desk.book.release_may_end.clear()
    desk.bookkeeping.give_back([message(1, fence=1), message(2)])
    assert desk.shown == [("m2", 0)]
    assert [one.message_id for one in desk.bookkeeping.unkept()] == ["m1"]

    desk.book.release_may_end.set()
    eventually(lambda: desk.shown, [("m2", 0), ("m1", 0)])
    assert desk.book.released == ["m1"]


def test_claims_are_renewed_with_the_visibility_and_a_lost_one_is_told(desk: Desk) -> None:
    desk.visibility = timedelta(seconds=1)
    desk.book.lost = {"m1"}
    desk.held = desk.bookkeeping.admitted([message(1), message(2)])

    eventually(lambda: desk.book.renewed.count("m2"), lambda times: times >= 2)
    assert [who for who, _ in desk.told] == ["m1"]
    assert desk.book.renewed.count("m1") == 1


def test_a_worker_that_ends_gives_back_all_claims_and_says_whether_results_are_left(desk: Desk) -> None:
    desk.bookkeeping.give_back([message(1, fence=1)])
    desk.bookkeeping.after_result(message(2, fence=1), lambda: None)

    assert not desk.bookkeeping.flush(2)
    assert (desk.book.released, desk.shown) == (["m1"], [("m1", 0)])
