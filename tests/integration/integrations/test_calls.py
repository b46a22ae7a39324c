"""What becomes of a call, by the partner's journal and the row."""

import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest

from app.engine.circuit_breaker import CircuitOpen, SharedRecords, State
from app.engine.outbound import AnswerUnusable, CallRefused
from app.engine.outbox.models import OutboxMessage
from app.workload.integrations import calls
from app.workload.integrations.endpoints import SHIPPING
from app.workload.integrations.errors import CallUnknown, EndpointUnknown, PartnerFails, PayloadRefused
from app.workload.integrations.models import PartnerCall

pytestmark = pytest.mark.django_db
Call = Callable[..., PartnerCall]
ID = "7f7c4a3e-0a4e-4d7b-9d0e-2f6f3c1f9a11"


def asked(partner: Any, call_id: str) -> list[dict[str, Any]]:
    return [entry for entry in partner.journal("quote") if entry["idempotency_key"] == f"call-{call_id}"]


def test_a_call_that_is_requested_is_a_row_and_a_job_with_one_id(owner: Any) -> None:
    requested = calls.request_call(
        owner=owner, endpoint_name="shipping_quote", payload={"country": "DE", "postcode": "10115", "weight_grams": 5}
    )

    (message,) = OutboxMessage.objects.all()
    assert (message.task_id, requested.state) == (str(requested.pk), "requested")


def test_what_the_partner_answers_is_kept_and_not_asked_again(call: Call, partner: Any) -> None:
    made = call(call_id := str(uuid4()))
    again = call(call_id)

    assert (made.state, made.status, made.attempts, made.answer) == (
        "succeeded",
        200,
        1,
        {"price_minor": 610, "currency": "eur", "days": 2},
    )
    assert again.updated_at == made.updated_at
    assert [entry["has_key"] for entry in asked(partner, call_id)] == [True]


def test_that_it_says_no_is_an_outcome_and_no_failure(call: Call, partner: Any, records: SharedRecords) -> None:
    for _ in range(6):
        partner.fault("quote", "deny")
        made = call()

    assert (made.state, made.status, made.answer) == ("refused", 422, {"error": "we do not ship there"})
    assert records.read(SHIPPING).failures == 0


@pytest.mark.parametrize("mode", ["error_500", "busy"])
def test_five_failures_open_the_breaker_and_no_more_call_leaves(call: Call, partner: Any, records: SharedRecords, mode: str) -> None:
    partner.fault("quote", mode, times=5)
    for number in range(5):
        with pytest.raises(PartnerFails):
            call(str(uuid4()), is_last_attempt=number == 4)
    with pytest.raises(CircuitOpen):
        call(postponed := str(uuid4()))

    row = PartnerCall.objects.get(pk=postponed)
    assert (row.state, row.attempts, row.postponed, asked(partner, postponed)) == ("postponed", 0, 1, [])
    assert "failed 5 times in a row" in row.reason
    states = sorted(PartnerCall.objects.values_list("state", flat=True))
    assert states == ["calling"] * 4 + ["failed", "postponed"]
    assert records.read(SHIPPING).state(time.time()) is State.OPEN


def test_an_attempt_after_a_failure_may_succeed_under_the_same_key(call: Call, partner: Any) -> None:
    partner.fault("quote", "reset")
    call_id = str(uuid4())
    with pytest.raises(Exception, match="did not answer"):
        call(call_id)
    made = call(call_id, is_last_attempt=True)

    assert (made.state, made.attempts) == ("succeeded", 2)
    assert len(asked(partner, call_id)) == 2


def test_what_failed_for_good_can_be_sent_back(call: Call, partner: Any) -> None:
    partner.fault("quote", "error_500")
    call_id = str(uuid4())
    with pytest.raises(PartnerFails):
        call(call_id, is_last_attempt=True)
    assert PartnerCall.objects.get(pk=call_id).finished_at is not None

    assert call(call_id).state == "succeeded"


@pytest.mark.parametrize(("mode", "error"), [("big", AnswerUnusable), ("redirect", CallRefused)])
def test_an_answer_that_we_do_not_take_fails_the_call_and_opens_nothing(
    call: Call, partner: Any, records: SharedRecords, mode: str, error: type[Exception]
) -> None:
    partner.fault("quote", mode, location="http://169.254.169.254/latest/meta-data/" if mode == "redirect" else "")
    with pytest.raises(error):
        call(call_id := str(uuid4()))

    row = PartnerCall.objects.get(pk=call_id)
    assert (row.state, row.finished_at is not None) == ("failed", True)
    assert records.read(SHIPPING).failures == 0


def test_a_job_that_nobody_can_record_or_send_is_refused(call: Call, partner: Any) -> None:
    before = len(partner.journal())
    with pytest.raises(CallUnknown):
        call("no id")
    with pytest.raises(EndpointUnknown, match="Did you mean shipping_quote"):
        call(endpoint_name="shipping_quotes")
    with pytest.raises(EndpointUnknown):
        call(endpoint_name="user_changes")
    with pytest.raises(PayloadRefused):
        call(payload={"url": "http://127.0.0.1/"})

    assert len(partner.journal()) == before
    assert PartnerCall.objects.count() == 0
