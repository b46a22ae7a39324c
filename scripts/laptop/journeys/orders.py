"""Customers order. Two want the last grinder, and one has no money: their orders are undone as a whole."""

import uuid
from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any

from scripts.laptop.demo import Answer, DemoFailed, Shop, Story

_FINAL_WITHIN = timedelta(seconds=60)
_FINAL = {"fulfilled", "failed"}
_GRINDER = 12_900
"""No other journey takes this amount, so that the gateway's journal can be asked for it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Wish:
    """What one customer orders, and how it may end."""

    what: str
    customer: str
    sku: str
    quantity: int
    card: str = "pm_card_visa"
    ends: frozenset[str] = frozenset({"fulfilled"})
    why: str = ""
    """The code of the failure, if there is one."""


@dataclass(kw_only=True, slots=True)
class _Placed:
    wish: Wish
    order: dict[str, Any]

    @property
    def id(self) -> str:
        return str(self.order["id"])


def fulfil_orders(shop: Shop) -> Story:
    """Raises :class:`DemoFailed` when the API does not do its part; what the steps then show is in the story."""
    story = Story(
        title="Orders", columns=("what", "total", "state", "steps", "undone", "took"), right=frozenset({"total", "steps", "undone", "took"})
    )
    morning = uuid.uuid4().hex[:8]
    mill, grinder = f"MILL-{morning}", f"GRINDER-{morning}"
    _offer(shop, mill, {"name": "Coffee mill", "price": 4_900, "currency": "eur", "stock": 20})
    _offer(shop, grinder, {"name": "Grinder, the last one", "price": _GRINDER, "currency": "eur", "stock": 1})
    either = frozenset(_FINAL)
    wishes = (
        Wish(what="two mills", customer="ada", sku=mill, quantity=2),
        Wish(what="the last grinder", customer="alan", sku=grinder, quantity=1, ends=either, why="out_of_stock"),
        Wish(what="the last grinder, too", customer="grace", sku=grinder, quantity=1, ends=either, why="out_of_stock"),
        Wish(
            what="card without money",
            customer="edsger",
            sku=mill,
            quantity=1,
            card="pm_card_chargeDeclinedInsufficientFunds",
            ends=frozenset({"failed"}),
            why="insufficient_funds",
        ),
    )
    sold_before = _paid_and_kept(shop, _GRINDER)
    placed = [_place(shop, wish, morning) for wish in wishes]
    _wait_until_final(shop, placed)
    _check(shop, placed, mill, grinder, story)
    sold = _paid_and_kept(shop, _GRINDER) - sold_before
    story.expect(sold == 1, f"Of two orders of the last grinder one must be paid for in the end; the gateway's journal says {sold}.")
    story.proven.append("two orders of the last piece: one is fulfilled, the other has its money and an apology; 18 of 20 mills are left")
    return story


def _offer(shop: Shop, sku: str, offer: dict[str, Any]) -> None:
    shop.doing = f"filling the shelf with {sku}"
    _expect(shop.put(f"/api/products/{sku}", offer), HTTPStatus.OK, f"PUT /api/products/{sku}")


def _place(shop: Shop, wish: Wish, morning: str) -> _Placed:
    shop.doing = f"{wish.customer} orders {wish.what}"
    body = {
        "lines": [{"sku": wish.sku, "quantity": wish.quantity}],
        "payment_method": wish.card,
        "customer_email": f"{wish.customer}+{morning}@example.com",
    }
    answer = shop.post("/api/orders", body, idempotency_key=f"order-{morning}-{wish.customer}-{wish.what}")
    _expect(answer, HTTPStatus.CREATED, f"POST /api/orders for {wish.customer}")
    return _Placed(wish=wish, order=answer.body)


def _expect(answer: Answer, status: HTTPStatus, what: str) -> None:
    if answer.status != status:
        raise DemoFailed(f"{what}: expected {int(status)}, got {answer.status}: {answer.body}")


def _is_over(one: _Placed) -> bool:
    """The order is final, and the last step or compensation of its saga, a mail, is over, too."""
    return one.order["state"] in _FINAL and all(step["state"] not in {"published", "running"} for step in one.order["steps"])


def _wait_until_final(shop: Shop, placed: list[_Placed]) -> None:
    def are_final() -> bool:
        for one in placed:
            if not _is_over(one):
                one.order = shop.get(f"/api/orders/{one.id}").body
        return all(_is_over(one) for one in placed)

    def describe() -> str:
        return f"{sum(_is_over(one) for one in placed)} of {len(placed)} orders are through"

    if not shop.wait_until(are_final, describe, _FINAL_WITHIN):
        waiting = ", ".join(f"{one.id} ({one.wish.what}: {one.order['state']})" for one in placed if not _is_over(one))
        raise DemoFailed(f"Not final after {_FINAL_WITHIN.total_seconds():.0f} s: {waiting}. See var/log/worker-default.log.")


def _check(shop: Shop, placed: list[_Placed], mill: str, grinder: str, story: Story) -> None:
    for one in placed:
        order, failure = one.order, one.order["failure"] or {}
        story.expect(
            order["state"] in one.wish.ends, f"Order {one.id} ({one.wish.what}) must end {set(one.wish.ends)}, is {order['state']}."
        )
        if order["state"] == "failed":
            story.expect(failure.get("code") == one.wish.why, f"Order {one.id} must fail for {one.wish.why}, failed for {failure}.")
        counted = Counter((step["kind"], step["state"]) for step in order["steps"])
        done, undone = counted["step", "done"], counted["compensation", "done"]
        story.rows.append((one.wish.what, f"{order['total'] / 100:,.2f} EUR", order["state"], str(done), str(undone), _took(order)))
    rivals = sorted(one.order["state"] for one in placed if one.wish.sku == grinder)
    story.expect(rivals == ["failed", "fulfilled"], f"Of two orders of the last piece one must win; they are {rivals}.")
    stock = {product["sku"]: product["stock"] for product in shop.get("/api/products").body}
    story.expect(
        (stock.get(mill), stock.get(grinder)) == (18, 0),
        f"18 mills and no grinder must be left; there are {stock.get(mill)} and {stock.get(grinder)}.",
    )


def _paid_and_kept(shop: Shop, amount: int) -> int:
    """How often this amount was taken and not given back, whether or not the card of an order that failed was charged before."""
    counted = Counter(entry["kind"] for entry in shop.journal() if entry["amount"] == amount)
    return counted["capture"] - counted["refund"]


def _took(order: dict[str, Any]) -> str:
    took = datetime.fromisoformat(order["finished_at"]) - datetime.fromisoformat(order["created_at"])
    return f"{took.total_seconds():.2f} s"
