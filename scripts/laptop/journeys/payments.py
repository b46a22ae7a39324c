"""Customers pay. One sends twice, one card is declined, one charge goes through while its answer gets lost."""

import time
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any

from scripts.laptop.demo import Answer, DemoFailed, Shop, Story

_FINAL_WITHIN = timedelta(seconds=60)
_MAILED_WITHIN = timedelta(seconds=20)
_FAULT_WITHIN = timedelta(seconds=20)
_FINAL = {"captured", "failed"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """One customer's wish, and how it must end."""

    what: str
    customer: str
    amount: int
    currency: str
    card: str = "pm_card_visa"
    ends: str = "captured"


#: Executed by the gateway, and then the connection breaks: only the gateway knows that the money is taken.
UNLUCKY = Order(what="its answer got lost", customer="grace", amount=4_900, currency="eur")
ORDERS = (
    Order(what="paid", customer="ada", amount=1_999, currency="eur"),
    Order(what="paid", customer="alan", amount=12_500, currency="usd", card="pm_card_mastercard"),
    Order(what="paid, in yen", customer="sin-itiro", amount=3_200, currency="jpy"),
    Order(what="sent twice", customer="barbara", amount=749, currency="gbp"),
    Order(what="declined card", customer="edsger", amount=8_800, currency="eur", card="pm_card_chargeDeclined", ends="failed"),
)
TWICE = ORDERS[3]


@dataclass(kw_only=True, slots=True)
class _Placed:
    order: Order
    customer_email: str
    idempotency_key: str
    payment: dict[str, Any]

    @property
    def id(self) -> str:
        return str(self.payment["id"])

    @property
    def is_final(self) -> bool:
        return self.payment["state"] in _FINAL


def take_payments(shop: Shop) -> Story:
    """Raises :class:`DemoFailed` when the API does not do its part; what the books then show is in the story."""
    story = Story(
        title="Payments", columns=("what", "amount", "state", "gateway calls", "took"), right=frozenset({"amount", "gateway calls", "took"})
    )
    morning = uuid.uuid4().hex[:8]
    opened_at = time.time()
    # First, and alone until it has gone wrong: a fault strikes whoever comes next. Its retry waits while the others pay.
    shop.order_fault(operation="confirm", mode="reset_after")
    unlucky = _place(shop, UNLUCKY, morning)
    if not shop.wait_until(lambda: _has_struck(shop, unlucky), lambda: "losing the gateway's answer", _FAULT_WITHIN):
        raise DemoFailed(
            f"Payment {unlucky.id} did not reach the gateway within {_FAULT_WITHIN.total_seconds():.0f} s. See var/log/worker-default.log."
        )
    placed = [unlucky, *(_place(shop, order, morning) for order in ORDERS)]
    _send_again(shop, next(one for one in placed if one.order is TWICE), story)
    _wait_until_final(shop, placed)
    _check_books(shop, placed, story)
    _check_mails(shop, placed, opened_at, story)
    return story


def _place(shop: Shop, order: Order, morning: str) -> _Placed:
    shop.doing = f"{order.customer} pays"
    email, key = f"{order.customer}+{morning}@example.com", f"demo-{morning}-{order.customer}"
    answer = shop.post("/api/payments", _body(order, email), idempotency_key=key)
    if answer.status != HTTPStatus.CREATED:
        raise DemoFailed(f"POST /api/payments for {order.customer}: expected 201, got {answer.status}: {answer.body}")
    return _Placed(order=order, customer_email=email, idempotency_key=key, payment=answer.body)


def _body(order: Order, email: str) -> dict[str, Any]:
    return {
        "amount": order.amount,
        "currency": order.currency,
        "payment_method": order.card,
        "customer_email": email,
        "description": f"Demo: {order.what}",
    }


def _has_struck(shop: Shop, unlucky: _Placed) -> bool:
    return any(entry.get("fault") and entry["payment_id"] == unlucky.id for entry in shop.journal())


def _send_again(shop: Shop, placed: _Placed, story: Story) -> None:
    body = _body(placed.order, placed.customer_email)
    again: Answer = shop.post("/api/payments", body, idempotency_key=placed.idempotency_key)
    story.expect(
        again.status == HTTPStatus.CREATED and again.body == placed.payment,
        f"The same request with the same Idempotency-Key must get the same answer; got {again.status}: {again.body}",
    )
    other = shop.post("/api/payments", body | {"amount": placed.order.amount + 1}, idempotency_key=placed.idempotency_key)
    story.expect(
        other.status == HTTPStatus.UNPROCESSABLE_ENTITY,
        f"Another request with a used Idempotency-Key must be refused with 422; got {other.status}: {other.body}",
    )
    story.proven.append(f"sent twice: one payment, the same answer; the key with another amount: refused with {other.status}")


def _wait_until_final(shop: Shop, placed: list[_Placed]) -> None:
    def are_final() -> bool:
        for one in placed:
            if not one.is_final:
                one.payment = shop.get(f"/api/payments/{one.id}").body
        return all(one.is_final for one in placed)

    def describe() -> str:
        return f"{sum(one.is_final for one in placed)} of {len(placed)} payments are final"

    if not shop.wait_until(are_final, describe, _FINAL_WITHIN):
        waiting = ", ".join(f"{one.id} ({one.order.what}: {one.payment['state']})" for one in placed if not one.is_final)
        raise DemoFailed(f"Not final after {_FINAL_WITHIN.total_seconds():.0f} s: {waiting}. See var/log/worker-default.log.")


def _check_books(shop: Shop, placed: list[_Placed], story: Story) -> None:
    journal = shop.journal()
    for one in placed:
        own = [entry for entry in journal if entry["payment_id"] == one.id]
        captures = [(entry["amount"], entry["currency"]) for entry in own if entry["kind"] == "capture"]
        expected = [(one.order.amount, one.order.currency)] if one.order.ends == "captured" else []
        story.expect(
            one.payment["state"] == one.order.ends,
            f"Payment {one.id} ({one.order.what}) must end {one.order.ends}, is {one.payment['state']}.",
        )
        story.expect(captures == expected, f"Payment {one.id} ({one.order.what}): the gateway must have taken {expected}, took {captures}.")
        calls = sum(entry["kind"] == "request" for entry in own)
        story.rows.append((one.order.what, _money(one.order), one.payment["state"], str(calls), _took(one.payment)))
    captured = sum(one.order.ends == "captured" for one in placed)
    story.proven.append(f"the gateway's journal: {captured} payments captured, each exactly once; nothing taken from the declined card")


def _check_mails(shop: Shop, placed: list[_Placed], opened_at: float, story: Story) -> None:
    due = {one.customer_email for one in placed if one.order.ends == "captured"}

    def missing() -> set[str]:
        return due - set(_mailed_addresses(shop, opened_at))

    shop.wait_until(lambda: not missing(), lambda: f"waiting for {len(missing())} of {len(due)} mails", _MAILED_WITHIN)
    mailed = [address for address in _mailed_addresses(shop, opened_at) if address in {one.customer_email for one in placed}]
    story.expect(
        sorted(mailed) == sorted(due),
        f"Each paying customer must get one mail, {sorted(due)}; in {shop.mail_directory} are {sorted(mailed)}.",
    )
    story.proven.append(f"{len(due)} confirmations in {shop.mail_directory}")


def _mailed_addresses(shop: Shop, since: float) -> list[str]:
    found: list[str] = []
    for mail in shop.mail_directory.glob("*"):
        if mail.stat().st_mtime >= since - 1:
            found += [
                line.removeprefix("To: ").strip() for line in mail.read_text(errors="replace").splitlines() if line.startswith("To: ")
            ]
    return found


def _money(order: Order) -> str:
    amount = f"{order.amount:,}" if order.currency == "jpy" else f"{order.amount / 100:,.2f}"
    return f"{amount} {order.currency.upper()}"


def _took(payment: dict[str, Any]) -> str:
    if not payment.get("finished_at"):
        return "-"
    took = datetime.fromisoformat(payment["finished_at"]) - datetime.fromisoformat(payment["created_at"])
    return f"{took.total_seconds():.2f} s"
