"""What a claimed run says of itself, on a table that reads conditions."""

import json
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import pytest
from celery import Celery, current_app, signature, states
from celery.app.task import Context
from celery.exceptions import Reject
from celery.result import AsyncResult, GroupResult
from kombu.exceptions import EncodeError

from app.engine.aws.wire.errors import NotSent, Unanswered
from app.engine.conf import engine_settings
from app.engine.job_ledger import FENCE, Verdict
from app.engine.ledger import backend as module
from app.engine.ledger.backend import LedgerBackend
from app.engine.ledger.claims import Claims
from app.engine.ledger.large_results import LARGEST_BYTES, LARGEST_IN_AN_ITEM, LargeResults
from tests.unit.engine.broker.fake_s3 import FakeS3
from tests.unit.engine.conftest import DefineTask
from tests.unit.engine.ledger.deliveries import FakeDelivery, admission_of
from tests.unit.engine.ledger.fake_dynamodb import TABLE, FakeDynamoDb, client_error

KEY = "celery-task-meta-1"
LEASE = 60.0


class Desk:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.dynamodb = FakeDynamoDb()
        self.now = 1_000_000.0
        monkeypatch.setattr("app.engine.ledger.backend.clients.lean_dynamodb", lambda _: self.dynamodb)
        monkeypatch.setattr(module, "table_name", lambda *_: TABLE)
        monkeypatch.setattr(module, "is_event_loop", lambda: False)
        self.backend = LedgerBackend(app=current_app)
        self.s3 = FakeS3()
        self.backend._large = LargeResults(engine_settings(), lambda: self.s3)
        self.backend._clock = lambda: self.now
        self.claims = Claims(lambda: self.dynamodb, TABLE, holder="worker/1", ttl=timedelta(days=1), clock=lambda: self.now)

    def claim(self, message_id: str = "m1") -> Any:
        delivery = FakeDelivery(message_id=message_id)
        admission = admission_of(self.claims, KEY, delivery, LEASE, "w@h")
        return admission.verdict, delivery.fence

    def request(self, fence: int | None = 1, **fields: Any) -> Context:
        delivery_info = {"routing_key": "default"} | ({} if fence is None else {FENCE: fence})
        return Context(
            **{
                "id": "1",
                "task": "shop.charge",
                "retries": 0,
                "hostname": "w@h",
                "delivery_info": delivery_info,
                "properties": {"delivery_tag": "tag-1", "delivery_info": delivery_info},
                **fields,
            }
        )

    def item(self) -> dict[str, Any]:
        return self.dynamodb.item(KEY)


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch, define_task: DefineTask) -> Desk:
    define_task("shop.charge", acks_late=True)
    return Desk(monkeypatch)


def test_a_run_that_reports_progress_keeps_its_claim(desk: Desk) -> None:
    desk.claim()
    before = desk.item()

    desk.backend.store_result("1", {"done": 3, "of": 7}, "PROGRESS", request=desk.request())

    kept = ("lease_until", "holder", "message_id", "generation", "fence", "claimed_at", "state")
    assert {name: desk.item()[name] for name in kept} == {name: before[name] for name in kept}
    meta = json.loads(desk.item()["result"]["S"])
    assert (meta["status"], meta["result"]) == ("PROGRESS", {"done": 3, "of": 7})
    assert desk.backend.get_task_meta("1", cache=False)["status"] == "PROGRESS"


def test_a_run_that_reported_progress_and_died_is_taken_over_when_its_lease_is_over(desk: Desk) -> None:
    desk.claim()
    desk.backend.store_result("1", {"done": 3}, "PROGRESS", request=desk.request())
    desk.now += LEASE + 1

    assert desk.claim(message_id="m2") == (Verdict.RUN, 2)
    assert "result" not in desk.item()


def test_a_run_that_was_taken_over_reports_no_progress(desk: Desk) -> None:
    desk.claim()
    desk.now += LEASE + 1
    desk.claim(message_id="m2")

    desk.backend.store_result("1", {"done": 3}, "PROGRESS", request=desk.request(fence=1))

    assert "result" not in desk.item()


def test_late_progress_does_not_open_a_finished_job(desk: Desk) -> None:
    desk.claim()
    desk.backend.store_result("1", 42, states.SUCCESS, request=desk.request())
    desk.backend.store_result("1", {"done": 3}, "PROGRESS", request=desk.request())

    assert desk.item()["state"]["S"] == states.SUCCESS


def test_a_part_of_a_chord_that_reported_progress_is_counted(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(current_app, "job_ledger", type("Book", (), {"hand_over": lambda *_: False, "note_stored": lambda *_: None})())
    desk.claim()
    request = desk.request(group="g", chord={"task": "shop.body", "chord_size": 2})
    desk.backend.store_result("1", {"done": 3}, "PROGRESS", request=request)

    desk.backend.mark_as_done("1", 42, request)

    assert desk.dynamodb.item(str(desk.backend.get_key_for_chord("g")))["parts"] == {"SS": ["1"]}


@pytest.mark.parametrize("times", [1, 5])
def test_a_chord_whose_results_cannot_be_read_for_a_while_is_late_and_not_failed(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    sent, failed = chord_of_one(desk, monkeypatch)
    read = desk.dynamodb.batch_get_item
    refusals = iter([client_error("ThrottlingException")] * times)

    def throttled(**request: Any) -> dict[str, Any]:
        if {"id": {"S": KEY}} in request["RequestItems"][TABLE]["Keys"]:
            for error in refusals:
                raise error
        return read(**request)

    monkeypatch.setattr(desk.dynamodb, "batch_get_item", throttled)
    desk.backend.mark_as_done("1", 42, desk.request(group="g", chord=signature("shop.body", chord_size=1)))

    assert (sent, failed) == ([[42]], [])


def test_a_chord_whose_callback_cannot_be_sent_for_a_while_is_late_and_not_failed(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    sent, failed = chord_of_one(desk, monkeypatch, refusals=[NotSent("SQS is away"), Unanswered("perhaps")])

    desk.backend.mark_as_done("1", 42, desk.request(group="g", chord=signature("shop.body", chord_size=1)))

    assert (sent, failed) == ([[42]], [])


@pytest.mark.parametrize("error", [ValueError("no"), ConnectionError("the partner is away")])
def test_a_chord_fails_with_the_part_that_failed_whatever_it_failed_of(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    sent, failed = chord_of_one(desk, monkeypatch)

    desk.backend.mark_as_failure("1", error, request=desk.request(group="g", chord=signature("shop.body", chord_size=1)))

    assert (sent, failed) == ([], [f"Dependency 1 raised {error!r}"])


def chord_of_one(desk: Desk, monkeypatch: pytest.MonkeyPatch, refusals: Iterable[Exception] = ()) -> tuple[list[list[int]], list[str]]:
    """The results that its callback is sent with, and why it is said to have failed."""
    sent: list[list[int]] = []
    failed: list[str] = []
    refusing = iter(refusals)

    def delay(_: Any, results: list[int]) -> None:
        for refusal in refusing:
            raise refusal
        sent.append(results)

    monkeypatch.setattr(current_app, "job_ledger", type("Book", (), {"hand_over": lambda *_: False, "note_stored": lambda *_: None})())
    monkeypatch.setattr("celery.canvas.Signature.delay", delay)
    monkeypatch.setattr(Celery, "backend", desk.backend)
    monkeypatch.setattr(desk.backend, "chord_error_from_stack", lambda _, error: failed.append(str(error)))
    monkeypatch.setattr(desk.backend, "_sleep", lambda _: None)
    desk.claim()
    GroupResult("g", [AsyncResult("1", backend=desk.backend)]).save(backend=desk.backend)
    return sent, failed


def test_progress_without_a_claim_is_a_state_like_any_other(desk: Desk) -> None:
    desk.backend.store_result("1", {"done": 3}, "PROGRESS", request=desk.request(fence=None))

    assert desk.item()["state"]["S"] == "PROGRESS"


@pytest.mark.parametrize(("state", "error"), [(states.SUCCESS, ""), (states.FAILURE, "ValueError: no")])
def test_the_end_of_a_run_whose_result_is_ignored_is_kept_without_the_result(desk: Desk, state: str, error: str) -> None:
    desk.claim()
    request = desk.request(ignore_result=True)
    if state == states.SUCCESS:
        desk.backend.mark_as_done("1", 42, request, store_result=False)
    else:
        desk.backend.mark_as_failure("1", ValueError("no"), request=request, store_result=False)

    assert desk.item()["state"]["S"] == state
    assert desk.item().get("error", {"S": ""})["S"] == error
    assert "result" not in desk.item()
    assert desk.backend.get_task_meta("1", cache=False)["status"] == states.PENDING, "as Celery has it for an ignored result"


def test_the_end_of_an_ignored_run_without_a_claim_costs_no_write(desk: Desk) -> None:
    desk.backend.mark_as_done("1", 42, desk.request(fence=None, ignore_result=True), store_result=False)

    assert desk.dynamodb.calls == []


# -- large results --------------------------------------------------------------------------------------------------------------

LARGE = "x" * (LARGEST_IN_AN_ITEM + 1)


def test_a_large_result_is_claimed_from_s3(desk: Desk) -> None:
    desk.claim()

    desk.backend.store_result("1", LARGE, states.SUCCESS, request=desk.request())

    assert "result" not in desk.item()
    (put,) = desk.s3.puts
    assert (put["Key"], put["ServerSideEncryption"]) == (desk.item()["result_at"]["S"], "AES256")
    assert desk.backend.get_task_meta("1", cache=False)["result"] == LARGE


def test_what_a_run_says_now_replaces_what_it_said_before_wherever_that_is(desk: Desk) -> None:
    desk.claim()
    for meta in ("small", LARGE, "small again"):
        desk.backend.store_result("1", meta, "PROGRESS", request=desk.request())
        assert desk.backend.get_task_meta("1", cache=False)["result"] == meta
        assert len({"result", "result_at"} & set(desk.item())) == 1

    desk.backend.store_result("1", LARGE, "PROGRESS", request=desk.request())
    desk.now += LEASE + 1
    desk.claim(message_id="m2")
    assert "result_at" not in desk.item()


def test_a_large_part_of_a_chord_is_counted_when_it_is_stored(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(current_app, "job_ledger", type("Book", (), {"hand_over": lambda *_: False, "note_stored": lambda *_: None})())
    desk.claim()
    request = desk.request(group="g", chord={"task": "shop.body", "chord_size": 2})

    desk.backend.mark_as_done("1", LARGE, request)

    assert desk.dynamodb.item(str(desk.backend.get_key_for_chord("g")))["parts"] == {"SS": ["1"]}
    assert desk.backend.get_task_meta("1", cache=False)["result"] == LARGE


def test_a_group_of_very_many_is_stored_as_well(desk: Desk) -> None:
    desk.backend.set("group", LARGE)

    assert desk.backend.get("group") == LARGE


def test_a_huge_result_is_its_task_s_failure(desk: Desk) -> None:
    with pytest.raises(EncodeError, match="64 MiB"):
        desk.backend.store_result("1", "x" * (LARGEST_BYTES + 1), states.SUCCESS, request=desk.request())


def test_an_s3_that_refuses_gives_the_message_back(desk: Desk) -> None:
    desk.s3.error = client_error("AccessDenied", status=403)

    with pytest.raises(Reject) as raised:
        desk.backend.store_result("1", LARGE, states.SUCCESS, request=desk.request())
    assert raised.value.requeue
