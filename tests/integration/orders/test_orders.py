"""Orders through their services, their API and their pages. Their sagas with real workers: tests/faults/test_order_sagas.py."""

import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.core import mail
from django.db import IntegrityError, connections, transaction

from app.engine.outbox.models import OutboxMessage
from app.engine.sagas.errors import Refused
from app.engine.sagas.models import Saga
from app.workload.orders import mails, services
from app.workload.orders.errors import OrderUnknown
from app.workload.orders.models import DailySales, Order, Product, Shipment
from tests.support.quickly import quickly

pytestmark = pytest.mark.django_db

BODY: dict[str, Any] = {
    "lines": [{"sku": "MILL-1", "quantity": 2}],
    "payment_method": "pm_card_visa",
    "customer_email": "customer@example.com",
}


def post(client: Any, body: Any = None, **headers: str) -> Any:
    return client.post("/api/orders", BODY if body is None else body, content_type="application/json", headers=headers)


def placed(owner: Any, quantity: int = 2) -> Order:
    return services.place_order(
        owner=owner,
        wanted=[services.Wanted(sku="MILL-1", quantity=quantity)],
        payment_method="pm_card_visa",
        customer_email="customer@example.com",
    )


def stock() -> int:
    return Product.objects.get(sku="MILL-1").stock


# -- steps ----------------------------------------------------------------------------------------------------------------


def test_stock_is_reserved_and_released_once(owner: Any, mill: Product) -> None:
    order = str(placed(owner).pk)

    assert [services.reserve_stock(order) for _ in range(3)] == [True, False, False]
    assert stock() == 3
    assert [services.release_stock(order) for _ in range(3)] == [True, False, False]
    assert stock() == 5


def test_an_order_that_cannot_be_reserved_as_a_whole_takes_nothing(owner: Any, mill: Product) -> None:
    Product.objects.create(sku="FILTER", name="Filter", price_minor=100, currency="eur", stock=1)
    wanted = [services.Wanted(sku="MILL-1", quantity=1), services.Wanted(sku="FILTER", quantity=1)]
    order = services.place_order(owner=owner, wanted=wanted, payment_method="pm_card_visa", customer_email="a@example.com")
    Product.objects.filter(sku="FILTER").update(stock=0)

    with pytest.raises(Refused, match="FILTER") as caught:
        services.reserve_stock(str(order.pk))
    assert (caught.value.code, stock()) == ("out_of_stock", 5)


@pytest.mark.django_db(transaction=True)
def test_of_many_orders_at_once_as_many_get_a_piece_as_there_are(owner: Any, mill: Product) -> None:
    orders = [str(placed(owner, 1).pk) for _ in range(8)]
    barrier = threading.Barrier(8)

    def reserve(order: str) -> bool:
        barrier.wait()
        try:
            return services.reserve_stock(order)
        except Refused:
            return False
        finally:
            connections.close_all()

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(reserve, orders)) == [False] * 3 + [True] * 5
    assert stock() == 0


def test_postgresql_refuses_a_negative_stock_and_impossible_orders(owner: Any, mill: Product) -> None:
    order = placed(owner)
    for rows, impossible in (
        (Product.objects.filter(pk=mill.pk), {"stock": -1}),
        (Order.objects.filter(pk=order.pk), {"state": "failed"}),
        (Order.objects.filter(pk=order.pk), {"state": "fulfilled"}),
        (Order.objects.filter(pk=order.pk), {"total_minor": 0}),
    ):
        with pytest.raises(IntegrityError), transaction.atomic():
            rows.update(**impossible)


def test_shipments_and_sales_are_made_and_taken_back(owner: Any, mill: Product) -> None:
    order = str(placed(owner).pk)
    assert [services.notify_warehouse(order), services.notify_warehouse(order)] == [True, False]
    assert [services.recall_shipment(order), services.recall_shipment(order)] == [True, False]
    assert Shipment.objects.get().state == "recalled"
    assert (services.count_sales(order, sign=1), DailySales.objects.get().revenue_minor) == (2, 9800)
    assert (services.count_sales(order, sign=-1), DailySales.objects.get().revenue_minor) == (-2, 0)


def test_customers_get_one_mail_of_a_kind(owner: Any, mill: Product) -> None:
    order = placed(owner)
    services.process_order_workflow(str(order.pk))
    Saga.objects.update(reason="Your card was declined.")
    for send in (mails.send_confirmation, mails.send_apology):
        assert [send(str(order.pk)), send(str(order.pk))] == [True, False]

    assert [sent.extra_headers["Message-ID"].partition("@")[0] for sent in mail.outbox] == [
        f"<order-{order.pk}-confirmation",
        f"<order-{order.pk}-apology",
    ]
    assert "2 x Coffee mill  98.00 EUR" in str(mail.outbox[0].body)
    assert "Your card was declined." in str(mail.outbox[1].body)


@pytest.mark.parametrize("order_id", ["", "x", None, "00000000-0000-4000-8000-000000000000"])
def test_an_id_that_no_order_has_is_a_permanent_error(order_id: Any) -> None:
    with pytest.raises(OrderUnknown):
        services.process_order_workflow(order_id)


def test_the_workflow_starts_one_saga_and_tells_payments_whole_numbers(owner: Any, mill: Product) -> None:
    order = placed(owner)
    assert services.process_order_workflow(str(order.pk)) == services.process_order_workflow(str(order.pk))

    charge = Saga.objects.get().acts.get(name="charge")
    assert charge.arguments == {
        "reference": f"order-{order.pk}",
        "owner_id": owner.pk,
        "amount_minor": 9800,
        "currency": "eur",
        "payment_method": "pm_card_visa",
        "description": f"Order {str(order.pk)[:8]}",
    }
    assert list(OutboxMessage.objects.values_list("task", "queue").order_by("id")) == [
        ("orders.process_order_workflow", "default"),
        ("orders.accept_order", "default"),
    ]


# -- API ------------------------------------------------------------------------------------------------------------------


def test_an_order_is_accepted_once_and_shown_with_its_steps(api_client: Any, mill: Product) -> None:
    answer = post(api_client, **{"Idempotency-Key": "order-1"})
    assert answer.status_code == 201
    assert (answer.json()["state"], answer.json()["total"], answer.json()["steps"]) == ("placed", 9800, [])
    again = post(api_client, **{"Idempotency-Key": "order-1"})
    assert (again.json(), again["Idempotent-Replayed"]) == (answer.json(), "true")
    assert OutboxMessage.objects.count() == 1

    services.process_order_workflow(answer.json()["id"])
    shown = api_client.get(answer.json()["links"]["self"]).json()
    assert [(step["name"], step["state"]) for step in shown["steps"]][:3] == [
        ("promise", "done"),
        ("accept", "published"),
        ("validate", "waiting"),
    ]
    assert shown["lines"] == [{"sku": "MILL-1", "name": "Coffee mill", "quantity": 2, "unit_price": 4900}]
    assert stock() == 5


def test_orders_are_listed_page_by_page(api_client: Any, mill: Product) -> None:
    made = [post(api_client).json()["id"] for _ in range(3)]

    first = api_client.get("/api/orders?limit=2").json()
    second = api_client.get(f"/api/orders?limit=2&cursor={first['next_cursor']}").json()
    assert [one["id"] for one in first["items"] + second["items"]] == made[::-1]
    assert second["next_cursor"] is None


def with_line(**line: Any) -> dict[str, Any]:
    return BODY | {"lines": [{"sku": "MILL-1", "quantity": 1} | line]}


BAD = {
    "no JSON": "{",
    "a list": [],
    "nothing": {},
    "deep": "[" * 5000 + "]" * 5000,
    "many keys": {f"key{number}": number for number in range(2000)},
    "a huge number": '{"lines": [{"sku": "MILL-1", "quantity": 1' + "0" * 5000 + "}]}",
    "not a number": '{"lines": [{"sku": "MILL-1", "quantity": NaN}]}',
    "a lone surrogate": '{"payment_method": "\\ud800", "lines": [{"sku": "MILL-1", "quantity": 1}], "customer_email": "a@example.com"}',
    "twice the same key": '{"lines": [], "lines": [{"sku": "MILL-1", "quantity": 1}]}',
    "no lines": BODY | {"lines": []},
    "too many lines": BODY | {"lines": [{"sku": f"S{number}", "quantity": 1} for number in range(51)]},
    "lines that are none": BODY | {"lines": {"sku": "MILL-1"}},
    "a string for a number": with_line(quantity="1"),
    "a float": with_line(quantity=1.0),
    "true": with_line(quantity=True),
    "none of it": with_line(quantity=0),
    "less than none": with_line(quantity=-1),
    "too much of it": with_line(quantity=1001),
    "more than there is": with_line(quantity=6),
    "what is not sold": with_line(sku="MILL-2"),
    "a NUL": with_line(sku="MILL\0"),
    "a price of one's own": with_line(unit_price=1),
    "another field": BODY | {"total": 1},
    "twice the same product": BODY | {"lines": [{"sku": "MILL-1", "quantity": 1}] * 2},
    "two currencies": BODY | {"lines": [{"sku": "MILL-1", "quantity": 1}, {"sku": "YEN", "quantity": 1}]},
    "no address": BODY | {"customer_email": "ada"},
    "a header in the address": BODY | {"customer_email": "ada@example.com\nBcc: eve@example.com"},
    "a card with spaces": BODY | {"payment_method": "4242 4242"},
    "a long card": BODY | {"payment_method": "p" * 256},
}


@pytest.mark.parametrize("body", BAD.values(), ids=BAD.keys())
def test_what_makes_no_sense_is_refused_with_a_reason_at_once_and_starts_nothing(api_client: Any, mill: Product, body: Any) -> None:
    Product.objects.create(sku="YEN", name="Yen", price_minor=100, currency="jpy", stock=5)

    answer = quickly(lambda: post(api_client, body))

    assert answer.status_code in (400, 422), answer.content
    assert answer["Content-Type"] == "application/problem+json"
    assert answer.json()["detail"]
    assert (Order.objects.count(), OutboxMessage.objects.count()) == (0, 0)


def test_others_orders_and_what_is_no_order_are_not_there(api_client: Any, mill: Product, django_user_model: Any) -> None:
    others = placed(django_user_model.objects.create(username="eve"))

    assert api_client.get(f"/api/orders/{others.pk}").status_code == 404
    assert api_client.get(f"/api/orders/{uuid.uuid4()}").status_code == 404
    assert api_client.get("/api/orders/x").status_code == 422
    assert api_client.get("/api/orders").json()["items"] == []
    assert api_client.get("/api/orders?cursor=x").status_code == 422


def test_strangers_are_refused(client: Any, mill: Product) -> None:
    assert post(client).status_code == 401
    assert client.get("/api/products").status_code == 401


def test_staff_offers_products_and_customers_see_them(api_client: Any, django_user_model: Any) -> None:
    offer = {"name": "Filter", "price": 500, "currency": "eur", "stock": 7}

    def put(body: dict[str, Any]) -> Any:
        return api_client.put("/api/products/FILTER", body, content_type="application/json")

    assert put(offer).status_code == 403
    django_user_model.objects.update(is_staff=True)
    assert put(offer).json() == {"sku": "FILTER", "name": "Filter", "price": 500, "currency": "eur", "stock": 7}
    assert put(offer | {"price": 600, "stock": 9}).json()["stock"] == 7
    assert api_client.get("/api/products").json()[0]["price"] == 600
    assert put(offer | {"price": 0}).status_code == 422


# -- pages ----------------------------------------------------------------------------------------------------------------


def test_only_staff_sees_orders(client: Any, owner: Any, mill: Product) -> None:
    order = placed(owner)
    for path in ("/orders/", f"/orders/{order.pk}/", f"/orders/{order.pk}/live/"):
        assert client.get(path).status_code == 302


def test_the_pages_show_orders_and_how_far_their_sagas_are(staff: Any, owner: Any, mill: Product) -> None:
    order = placed(owner)
    assert "no worker has taken the order up yet" in staff.get(f"/orders/{order.pk}/").content.decode()
    services.process_order_workflow(str(order.pk))

    assert str(order.pk) in staff.get("/orders/").content.decode()
    assert str(order.pk) not in staff.get("/orders/", {"state": "failed"}).content.decode()
    page = staff.get(f"/orders/{order.pk}/").content.decode()
    live = staff.get(f"/orders/{order.pk}/live/").content.decode()
    for text in ("Card charged", "Saga running", "Published"):
        assert text in page
        assert text in live
    assert "<html" not in live
    assert staff.get(f"/orders/{uuid.uuid4()}/").status_code == 404


@pytest.mark.parametrize("query", [{"state": "\0"}, {"state": "x"}, {"page": "x"}, {"page": "-1"}, {"page": "9" * 30}])
def test_a_strange_query_is_no_error(staff: Any, query: dict[str, str]) -> None:
    assert staff.get("/orders/", query).status_code == 200


def test_the_admin_changes_products_and_no_orders(staff: Any, owner: Any, mill: Product) -> None:
    order = placed(owner)
    services.count_sales(str(order.pk), sign=1)
    services.notify_warehouse(str(order.pk))
    for path in ("product", f"product/{mill.pk}/change", "product/add", "order", f"order/{order.pk}/change", "shipment", "dailysales"):
        assert staff.get(f"/admin/orders/{path}/").status_code == 200, path
    assert staff.post(f"/admin/orders/order/{order.pk}/change/", {"state": "failed"}).status_code == 403
