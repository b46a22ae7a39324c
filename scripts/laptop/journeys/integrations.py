"""The shop asks a partner what parcels cost. One is refused, one answer is a failure and comes at the second attempt."""

import uuid
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any

from scripts.laptop.demo import DemoFailed, Shop, Story

_FINAL_WITHIN = timedelta(seconds=40)
_FAULT_WITHIN = timedelta(seconds=20)
_FINAL = {"succeeded", "refused", "failed"}


def ask_the_partner(shop: Shop) -> Story:
    """Raises :class:`DemoFailed` when the API does not do its part; what the partner then says is in the story."""
    story = Story(
        title="Partner calls",
        columns=("what", "state", "status", "attempts", "calls that came", "took"),
        right=frozenset({"status", "attempts", "calls that came", "took"}),
    )
    morning = uuid.uuid4().hex[:8]
    shop.order_partner_fault(operation="quote", mode="deny")
    refused = _final(shop, [_place(shop, "refused", 900, morning)])[0]
    # A fault strikes whoever comes next: the others wait until it has.
    shop.order_partner_fault(operation="quote", mode="error_500")
    unlucky = _place(shop, "failed once", 2_500, morning)
    if not shop.wait_until(lambda: bool(_came(shop, unlucky)), lambda: "letting the partner fail", _FAULT_WITHIN):
        raise DemoFailed(
            f"Call {unlucky['id']} did not reach the partner within {_FAULT_WITHIN.seconds} s. See var/log/worker-default.log."
        )
    others = [_place(shop, "quoted", grams, morning) for grams in (300, 12_000)]
    calls = [refused, *_final(shop, [unlucky, *others])]
    for call in calls:
        came = _came(shop, call)
        story.rows.append((call["what"], call["state"], str(call["status"] or "-"), str(call["attempts"]), str(len(came)), _took(call)))
        story.expect(call["state"] == ("refused" if call is refused else "succeeded"), f"Call {call['id']} ended {call['state']}.")
        story.expect(len(came) == call["attempts"], f"Call {call['id']} counts {call['attempts']} attempts, the partner {len(came)}.")
    breakers = {one["name"]: one["state"] for one in shop.items("/api/integrations/breakers")}
    story.expect(set(breakers.values()) == {"closed"}, f"One failure opens no breaker; they are {breakers}.")
    story.proven.append("the partner's journal: each call came as often as it was attempted, and one failure opened no breaker")
    return story


def _place(shop: Shop, what: str, grams: int, morning: str) -> dict[str, Any]:
    body = {"endpoint": "shipping_quote", "payload": {"country": "DE", "postcode": "10115", "weight_grams": grams}}
    answer = shop.post("/api/integrations/calls", body, idempotency_key=f"quote-{morning}-{grams}")
    if answer.status != HTTPStatus.CREATED:
        raise DemoFailed(f"POST /api/integrations/calls: expected 201, got {answer.status}: {answer.body}")
    return {**answer.body, "what": what}


def _came(shop: Shop, call: dict[str, Any]) -> list[dict[str, Any]]:
    return [entry for entry in shop.partner_journal() if entry["idempotency_key"] == f"call-{call['id']}"]


def _final(shop: Shop, calls: list[dict[str, Any]]) -> list[dict[str, Any]]:
    def are_final() -> bool:
        for call in calls:
            if call["state"] not in _FINAL:
                call.update(shop.get(f"/api/integrations/calls/{call['id']}").body)
        return all(call["state"] in _FINAL for call in calls)

    if not shop.wait_until(are_final, lambda: "asking the partner", _FINAL_WITHIN):
        waiting = ", ".join(f"{call['id']} ({call['state']})" for call in calls if call["state"] not in _FINAL)
        raise DemoFailed(f"Not final after {_FINAL_WITHIN.seconds} s: {waiting}. See var/log/worker-default.log.")
    return calls


def _took(call: dict[str, Any]) -> str:
    took = datetime.fromisoformat(call["finished_at"]) - datetime.fromisoformat(call["created_at"])
    return f"{took.total_seconds():.2f} s"
