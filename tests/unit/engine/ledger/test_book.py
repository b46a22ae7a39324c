"""The worker's side of the ledger, put together: what is admitted, and when a result counts as kept."""

import threading
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from celery import states

from app.engine.conf import engine_settings
from app.engine.job_ledger import Keeping, Verdict
from app.engine.ledger import book as module
from app.engine.ledger.book import Book
from tests.support.eventually import eventually
from tests.unit.engine.ledger.deliveries import FakeDelivery
from tests.unit.engine.ledger.fake_dynamodb import FakeDynamoDb, client_error

LEASE = 60.0
TASKS: dict[str, dict[str, bool]] = {
    "shop.charge": {"acks_late": True},
    "shop.cheap": {"acks_late": True, "claimed": False},
    "shop.early": {"acks_late": False},
}


class Desk:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.dynamodb = FakeDynamoDb()
        monkeypatch.setattr("app.engine.ledger.book.clients.lean_dynamodb", lambda _: self.dynamodb)
        monkeypatch.setattr(module, "table_name", lambda *_: "ledger")
        # Not a Celery application, which would take in the tasks that other tests have left.
        self.app: Any = SimpleNamespace(tasks={name: SimpleNamespace(**options) for name, options in TASKS.items()})
        self.book = Book(self.app, engine_settings, lambda task_id: task_id)
        self.book._open(type("Worker", (), {"hostname": "w@h"}))
        self.kept: list[Keeping] = []

    def admit(self, *deliveries: FakeDelivery) -> list[Verdict]:
        return [admission.verdict for admission in self.book.admit(deliveries, LEASE)]

    def settle(self, delivery: FakeDelivery) -> None:
        self.book.when_kept(delivery, self.kept.append)


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> Any:
    made = Desk(monkeypatch)
    yield made
    made.dynamodb.failing = None
    made.book.flush(5)
    made.book.close()


def result(delivery: FakeDelivery, state: str = states.SUCCESS) -> dict[str, Any]:
    return {"id": {"S": delivery.task_id}, "state": {"S": state}, "fence": {"N": str(delivery.fence)}, "result": {"S": "{}"}}


def test_each_delivery_of_a_receive_is_claimed_on_its_own(desk: Desk) -> None:
    deliveries = [FakeDelivery(task_id=str(number), tag=f"t{number}", message_id=f"m{number}") for number in range(10)]

    assert desk.admit(*deliveries) == [Verdict.RUN] * 10
    assert [delivery.fence for delivery in deliveries] == [1] * 10
    assert desk.admit(replace(deliveries[3], message_id="copy")) == [Verdict.LATER]


@pytest.mark.parametrize("task", ["shop.cheap", "shop.early"])
def test_a_task_that_is_not_claimed_costs_no_write_before_it_runs(desk: Desk, task: str) -> None:
    delivery = FakeDelivery(task=task)

    assert desk.admit(delivery) == [Verdict.RUN]
    assert delivery.fence is None
    assert desk.dynamodb.calls == []


def test_while_the_ledger_is_away_only_what_may_have_been_run_waits(desk: Desk) -> None:
    desk.dynamodb.failing = client_error("InternalServerError", status=500)

    assert desk.admit(FakeDelivery(), FakeDelivery(task_id="2", receive_count=2)) == [Verdict.RUN, Verdict.LATER]
    asked = len(desk.dynamodb.calls)
    assert desk.admit(*(FakeDelivery(task_id=str(number)) for number in range(3, 9))) == [Verdict.RUN] * 6
    assert len(desk.dynamodb.calls) == asked, "each would cost a time-out"


def test_when_the_ledger_is_back_jobs_are_claimed_again(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "AWAY_SECONDS", 0.05)
    desk.dynamodb.failing = client_error("InternalServerError", status=500)
    desk.admit(FakeDelivery())
    desk.dynamodb.failing = None

    def fence() -> int | None:
        delivery = FakeDelivery(task_id="2")
        desk.admit(delivery)
        return delivery.fence

    eventually(fence, lambda found: found is not None)


def test_a_message_is_settled_when_its_result_is_stored_and_not_before(desk: Desk) -> None:
    delivery = FakeDelivery()
    desk.admit(delivery)
    desk.book.hand_over(delivery.tag, result(delivery))
    desk.dynamodb.failing = client_error("InternalServerError", status=500)
    desk.settle(delivery)
    eventually(lambda: len(desk.dynamodb.calls), lambda calls: calls >= 2)
    assert desk.kept == []

    desk.dynamodb.failing = None
    eventually(lambda: desk.kept, [Keeping.STORED], within=10)
    assert desk.dynamodb.item("1")["state"]["S"] == states.SUCCESS


def test_a_retry_is_recorded_and_its_message_settled(desk: Desk) -> None:
    delivery = FakeDelivery()
    desk.admit(delivery)
    desk.book.hand_over(delivery.tag, result(delivery, states.RETRY))
    desk.settle(delivery)

    eventually(lambda: desk.kept, [Keeping.STORED])
    assert desk.dynamodb.item("1")["state"]["S"] == states.RETRY


@pytest.mark.parametrize(
    "now",
    [
        {"state": {"S": states.STARTED}, "fence": {"N": "2"}},
        {"state": {"S": states.SUCCESS}},
        # The last attempt was run without a claim, in another worker.
        {"state": {"S": states.FAILURE}},
    ],
    ids=["claimed", "over", "failed unclaimed"],
)
def test_a_retry_that_is_recorded_late_changes_nothing_of_its_next_attempt_and_its_message_is_settled(
    desk: Desk, now: dict[str, Any]
) -> None:
    delivery = FakeDelivery()
    desk.admit(delivery)
    desk.dynamodb.table.put({"Item": {"id": {"S": "1"}} | now})
    desk.book.hand_over(delivery.tag, result(delivery, states.RETRY))
    desk.settle(delivery)

    eventually(lambda: desk.kept, [Keeping.STORED])
    assert desk.dynamodb.item("1") == {"id": {"S": "1"}} | now


def test_a_run_that_was_taken_over_keeps_nothing(desk: Desk) -> None:
    delivery = FakeDelivery()
    desk.admit(delivery)
    desk.dynamodb.table.put({"Item": {"id": {"S": "1"}, "state": {"S": states.STARTED}, "fence": {"N": "2"}}})
    assert desk.book.renew([delivery], LEASE) == [delivery]
    desk.book.hand_over(delivery.tag, result(delivery))
    desk.settle(delivery)

    eventually(lambda: desk.kept, [Keeping.LOST])
    assert desk.dynamodb.item("1")["state"]["S"] == states.STARTED


def test_a_run_without_anything_to_say_is_closed(desk: Desk) -> None:
    delivery = FakeDelivery()
    desk.admit(delivery)
    desk.settle(delivery)

    eventually(lambda: desk.kept, [Keeping.STORED])
    assert desk.dynamodb.item("1")["state"]["S"] == states.IGNORED
    assert desk.admit(FakeDelivery(message_id="copy")) == [Verdict.FINISHED]


def test_a_result_that_another_thread_has_taken_in_and_not_noted_yet_is_not_missed(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    delivery = FakeDelivery()
    desk.admit(delivery)
    arrived, taken, go_on = [(delivery.tag, result(delivery))], threading.Event(), threading.Event()

    def take() -> list[Any]:
        handed = arrived[:]
        arrived.clear()
        if handed:
            taken.set()
            go_on.wait(10)
        return handed

    monkeypatch.setattr(desk.book._handover, "take", take)
    slow = threading.Thread(target=desk.book._collect)
    slow.start()
    taken.wait(10)
    settling = threading.Thread(target=desk.settle, args=(delivery,))
    settling.start()
    settling.join(0.1)
    go_on.set()
    slow.join()
    settling.join()

    eventually(lambda: desk.kept, [Keeping.STORED])
    assert desk.dynamodb.item("1")["state"]["S"] == states.SUCCESS


def test_a_run_that_stored_its_result_itself_waits_for_nobody(desk: Desk) -> None:
    delivery = FakeDelivery()
    desk.admit(delivery)
    desk.book.note_stored(delivery.tag)
    calls = len(desk.dynamodb.calls)
    desk.settle(delivery)

    assert desk.kept == [Keeping.STORED]
    assert len(desk.dynamodb.calls) == calls


def test_a_released_job_can_be_claimed_at_once(desk: Desk) -> None:
    delivery = FakeDelivery()
    desk.admit(delivery)
    desk.book.release([delivery])

    assert desk.admit(FakeDelivery(message_id="other")) == [Verdict.RUN]


def test_results_that_nobody_asks_for_do_not_pile_up(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REMEMBERED", 10)
    for number in range(50):
        desk.book.hand_over(f"tag-{number}", {"id": {"S": str(number)}})

    assert len(desk.book._results) == 10


def test_a_program_that_is_no_worker_keeps_no_results_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    web: Any = SimpleNamespace(tasks={})
    book = Book(web, engine_settings, lambda task_id: task_id)

    assert not book.hand_over("tag", {})
    assert book.flush(0.1)
    assert [admission.verdict for admission in book.admit([FakeDelivery()], LEASE)] == [Verdict.RUN]
