"""SIGKILL at every boundary of an order's saga: afterwards all of it is done or all of it is undone, and each effect was had once."""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.eventually import eventually
from tests.support.mortal_acts import POINTS

VISIBILITY_SECONDS = 4
PROGRAM = "import runpy\nrunpy.run_module('tests.support.mortal_acts', run_name='__main__')"
STEPS = ("accept", "validate", "charge", "reserve", "confirm", "warehouse", "analytics", "finish")
COMPENSATIONS = ("analytics", "warehouse", "reserve", "charge", "accept", "promise")
PLACE = """
import json
from django.contrib.auth import get_user_model
from app.engine.outbox.background import background_relay
from app.workload.orders import services
from app.workload.orders.models import Product
background_relay.wake = lambda: None
owner = get_user_model().objects.get()
placed = []
for sku, stock, number, card in ASKED:
    Product.objects.get_or_create(sku=sku, defaults={"name": sku, "price_minor": 1250, "currency": "eur", "stock": stock})
    for _ in range(number):
        wanted = [services.Wanted(sku=sku, quantity=1)]
        order = services.place_order(owner=owner, wanted=wanted, payment_method=card, customer_email="ada@example.com")
        placed.append(str(order.pk))
print(json.dumps(placed))
"""
CHECK_BOOKS = """
import json
from app.workload.payments.books import check_books
print(json.dumps(check_books().accounts))
"""

REPAIR = """
from datetime import timedelta
from django.utils import timezone
from app.engine.sagas.repair import repair
from app.engine.tasks import _whereabouts
print(repair(_whereabouts, now=timezone.now() + timedelta(minutes=10)))
"""


class Shop:
    """A worker that dies where it is planned, and a relay that lives."""

    def __init__(self, stack: Any, gateway: Any, directory: Path) -> None:
        self.stack, self.gateway, self.plan = stack, gateway, directory / "plan"
        self.mails = directory / "mail"
        self.plan.mkdir()
        self.is_open = False
        stack.environment["PLAN"] = str(self.plan)
        stack.network.habits(duplicates=0.02, lost_receives=0)
        for queue in ("default", "emails"):
            stack.shorten_visibility(queue, VISIBILITY_SECONDS)
            stack.bury_after(queue, 100)

    def repair(self) -> int:
        """As ``engine.repair_sagas``, ten minutes later."""
        done = self.stack.python(REPAIR)
        assert done.returncode == 0, done.stderr[-1500:]
        return int(done.stdout.splitlines()[-1])

    def place(self, *asked: tuple[str, int, int, str]) -> list[str]:
        """SKU, its stock, how many orders of one piece, and the card. Nothing is sent before :meth:`open`."""
        done = self.stack.python(f"ASKED = {list(asked)!r}\n{PLACE}")
        assert done.returncode == 0, done.stderr[-1500:]
        placed: list[str] = json.loads(done.stdout.splitlines()[-1])
        return placed

    def die(self, order: str, kind: str, name: str, point: str) -> None:
        (self.plan / f"{order}.{kind}.{name}.{point}").touch()

    def open(self) -> None:
        if not self.is_open:
            self.stack.start_program("worker-default", PROGRAM)
            self.stack.start("outbox-relay")
            self.is_open = True

    def await_end(self, orders: list[str], within: float) -> dict[str, str]:
        """Wait until every saga is over, and no death is left undied; return how the orders ended."""
        eventually(lambda: self._open_sagas(orders), [], within=within)
        assert [path.name for path in self.plan.iterdir() if path.suffix not in (".fails", ".kills")] == []
        found = self.stack.query("SELECT id::text, state FROM orders_order WHERE id = ANY(%s::uuid[])", orders)
        return dict(found)

    def _open_sagas(self, orders: list[str]) -> list[Any]:
        over = dict(self.stack.query("SELECT subject, state FROM sagas_saga WHERE state IN ('done', 'compensated')"))
        return [order for order in orders if order not in over]

    def money(self, order: str) -> Counter[str]:
        """What the gateway took, refused and gave back for the order."""
        payments = [str(pk) for (pk,) in self.stack.query("SELECT id FROM payments_payment WHERE reference = %s", f"order-{order}")]
        return Counter(
            entry["kind"]
            for entry in self.gateway.journal()
            if entry["payment_id"] in payments and entry["kind"] in ("capture", "decline", "refund")
        )

    def mailed(self, order: str) -> Counter[str]:
        said = "".join(path.read_text() for path in self.mails.iterdir())
        return Counter(re.findall(rf"^Message-ID:\s+<order-{order}-(\w+)@", said, re.MULTILINE))

    def check(self, ends: dict[str, str], stock: dict[str, int]) -> None:
        """All or nothing, each once; the shelf, the sales and the books agree with that."""
        for order, state in ends.items():
            wanted = {"fulfilled": ({"capture": 1}, {"confirmation": 1})}.get(state)
            if wanted is not None:
                assert (self.money(order), self.mailed(order)) == wanted, order
            else:
                assert self.money(order)["capture"] == self.money(order)["refund"] <= 1, (order, self.money(order))
                assert self.mailed(order)["apology"] == 1
                assert max(self.mailed(order).values()) == 1
        fulfilled = self.stack.query(
            "SELECT p.sku, count(*) FROM orders_order o JOIN orders_orderline l ON l.order_id = o.id JOIN orders_product p ON p.id = l.product_id"
            " WHERE o.state = 'fulfilled' AND p.sku = ANY(%s) GROUP BY 1",
            list(stock),
        )
        sold = dict.fromkeys(stock, 0) | dict(fulfilled)
        left = dict(self.stack.query("SELECT sku, stock FROM orders_product WHERE sku = ANY(%s)", list(stock)))
        assert left == {sku: stock[sku] - sold[sku] for sku in stock}
        counted = dict(
            self.stack.query(
                "SELECT p.sku, sum(s.pieces)::int FROM orders_dailysales s JOIN orders_product p ON p.id = s.product_id WHERE p.sku = ANY(%s) GROUP BY 1",
                list(stock),
            )
        )
        assert dict.fromkeys(stock, 0) | counted == sold
        packed = self.stack.query(
            "SELECT order_id::text FROM orders_shipment WHERE state = 'requested' AND order_id = ANY(%s::uuid[])", list(ends)
        )
        assert {order for (order,) in packed} == {order for order, state in ends.items() if state == "fulfilled"}
        done = self.stack.python(CHECK_BOOKS)
        assert done.returncode == 0, done.stderr[-1500:]
        accounts = json.loads(done.stdout.splitlines()[-1])
        assert {sum(sums.values()) for sums in accounts.values()} == {0}


@pytest.fixture(scope="module")
def shop(_make_stack: Callable[[Path], Any], _gateway_server: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    directory = tmp_path_factory.mktemp("order-sagas")
    stack = _make_stack(directory)
    _gateway_server.heal()
    yield Shop(stack, _gateway_server, directory)
    stack.stop()


def test_orders_end_as_a_whole_although_their_workers_are_killed(shop: Shop) -> None:
    cut, undone, declined, *rivals = orders = shop.place(
        ("plenty", 10, 2, "pm_card_visa"),
        ("plenty", 10, 1, "pm_card_chargeDeclinedInsufficientFunds"),
        ("last", 1, 2, "pm_card_visa"),
    )
    shop.die(cut, "step", "charge", "ran")
    shop.die(undone, "step", "finish", "fails")
    shop.die(undone, "compensation", "charge", "ran")
    shop.open()

    ends = shop.await_end(orders, within=120)

    assert (ends[cut], ends[undone], ends[declined]) == ("fulfilled", "failed", "failed")
    assert sorted(ends[order] for order in rivals) == ["failed", "fulfilled"]
    shop.check(ends, {"plenty": 10, "last": 1})
    # A declined card is no error: the bank is asked once, its reason is kept, and nobody retries.
    (failure,) = shop.stack.query("SELECT failure_code, failure_reason FROM orders_order WHERE id = %s", declined)
    assert failure == ("insufficient_funds", "Your card has insufficient funds.")
    assert shop.money(declined) == {"decline": 1}
    charge = "SELECT a.state FROM sagas_act a JOIN sagas_saga s ON s.id = a.saga_id WHERE s.subject = %s AND a.name = 'charge' AND a.kind = 'step'"
    assert shop.stack.query(charge, declined) == [("refused",)]
    (loser,) = [order for order in rivals if ends[order] == "failed"]
    assert shop.stack.query("SELECT failure_code FROM orders_order WHERE id = %s", loser) == [("out_of_stock",)]


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_kill_at_every_boundary_forwards_and_backwards_leaves_all_done_or_all_undone(shop: Shop) -> None:
    forwards = [(name, point) for name in STEPS for point in POINTS]
    backwards = [(name, point) for name in COMPENSATIONS for point in POINTS]
    last_straws = ["ran", "marked"]
    orders = shop.place(("matrix", 100, len(forwards) + len(backwards) + len(last_straws), "pm_card_visa"))
    there, back, straws = orders[: len(forwards)], orders[len(forwards) : len(forwards) + len(backwards)], orders[-len(last_straws) :]
    for order, (name, point) in zip(there, forwards, strict=True):
        shop.die(order, "step", name, point)
    for order in (*back, *straws):
        shop.die(order, "step", "finish", "fails")
    for order, (name, point) in zip(back, backwards, strict=True):
        shop.die(order, "compensation", name, point)
    for order, point in zip(straws, last_straws, strict=True):
        shop.die(order, "step", "finish", point)
    shop.open()

    ends = shop.await_end(orders, within=800)

    assert {ends[order] for order in there} == {"fulfilled"}
    assert {ends[order] for order in (*back, *straws)} == {"failed"}
    shop.check(ends, {"matrix": 100})
    assert {shop.money(order)["refund"] for order in (*back, *straws)} == {1}


@pytest.mark.long
@pytest.mark.timeout(400)
def test_a_step_that_kills_its_workers_until_it_is_buried_turns_the_saga_back(shop: Shop) -> None:
    (order,) = shop.place(("deadly", 5, 1, "pm_card_visa"))
    shop.die(order, "step", "reserve", "kills")
    shop.stack.bury_after("default", 3)
    shop.open()
    buried = "SELECT a.attempts FROM sagas_act a JOIN sagas_saga s ON s.id = a.saga_id WHERE s.subject = %s AND a.name = 'reserve'"
    try:
        eventually(lambda: shop.stack.query(buried, order), lambda found: bool(found) and found[0][0] >= 1, within=120)
        # It may be received without being begun, when a worker dies of another job.
        eventually(lambda: sum(shop.stack.depth("default")), 0, within=120)
        # The clerk of the relay says in the ledger that the job is dead. Until then it may be alive, and is not looked at again for minutes.
        ((job,),) = shop.stack.query(
            "SELECT a.task_id FROM sagas_act a JOIN sagas_saga s ON s.id = a.saga_id WHERE s.subject = %s AND a.name = 'reserve'", order
        )
        eventually(lambda: json.loads(shop.stack.manage("job", job, "--json").stdout)["state"], "dead", within=120)
        shop.repair()
        assert shop.stack.query("SELECT code FROM sagas_saga WHERE subject = %s", order) == [("lost",)]
        ends = shop.await_end([order], within=120)
    finally:
        shop.stack.bury_after("default", 100)

    assert ends == {order: "failed"}
    assert shop.money(order) == {"capture": 1, "refund": 1}
    shop.check(ends, {"deadly": 5})
