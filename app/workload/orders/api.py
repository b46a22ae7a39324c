"""``/api/orders`` and ``/api/products``: for programs of the shop."""

import uuid
from datetime import datetime
from typing import Annotated, Any

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.http import HttpRequest, HttpResponse
from ninja import Router, Schema
from pydantic import AfterValidator, ConfigDict, Field

from app.api.addresses import address_of
from app.api.errors import FieldError, Problem
from app.api.idempotency import Answer, IdempotencyKey, answer_once
from app.api.paging import Cursor, Limit, page_of
from app.api.problems import problem_responses, standard_problem
from app.api.schemas import RequestBody
from app.engine.sagas.conductor import saga_of
from app.engine.sagas.models import Act, Saga
from app.workload.orders import services
from app.workload.orders.errors import CannotBeOrdered
from app.workload.orders.models import LARGEST_TOTAL_MINOR, MOST_PIECES, Order, Product

router = Router(tags=["orders"])
product_router = Router(tags=["orders"])

MOST_LINES = 50
_EXAMPLE_ID = "3f0a7c52-94c2-4d6a-8f2e-1b7a0c3d5e21"
_EXAMPLE_REQUEST: dict[str, Any] = {
    "lines": [{"sku": "MILL-1", "quantity": 2}],
    "payment_method": "pm_card_visa",
    "customer_email": "ada@example.com",
}


def _check_payment_method(reference: str) -> str:
    if not (reference.isascii() and reference.replace("_", "").isalnum()):
        raise ValueError("expected a reference of the gateway such as pm_card_visa")
    return reference


def _check_email(address: str) -> str:
    try:
        validate_email(address)
    except ValidationError as error:
        raise ValueError("expected an e-mail address") from error
    return address


class LineRequest(RequestBody):
    sku: Annotated[str, Field(min_length=1, max_length=40, pattern=r"^[\x21-\x7e]+$", description="The product's.")]
    quantity: Annotated[int, Field(ge=1, le=MOST_PIECES)]


class OrderRequest(RequestBody):
    """What is wanted, who pays, and whom to tell."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE_REQUEST]})

    lines: Annotated[list[LineRequest], Field(min_length=1, max_length=MOST_LINES, description="One for each product, of one currency.")]
    payment_method: Annotated[
        str, AfterValidator(_check_payment_method), Field(min_length=1, max_length=255, description="The gateway's reference to the card.")
    ]
    customer_email: Annotated[str, AfterValidator(_check_email), Field(max_length=254, description="Who gets the mails.")]


class LineAnswer(Schema):
    sku: str = Field(examples=["MILL-1"])
    name: str = Field(examples=["Coffee mill"])
    quantity: int
    unit_price: int = Field(description="In the currency's smallest unit.", examples=[4900])


class StepAnswer(Schema):
    """One step of the order's way, or the undoing of one."""

    kind: Act.Kind
    name: str = Field(examples=["charge"])
    state: Act.State
    attempts: int
    started_at: datetime | None
    finished_at: datetime | None
    error: str | None


class Failure(Schema):
    code: str = Field(examples=["out_of_stock"])
    reason: str = Field(description="For people.")


class Links(Schema):
    self: str = Field(examples=[f"/api/orders/{_EXAMPLE_ID}"])


class OrderSummary(Schema):
    """An order as it is now."""

    id: uuid.UUID = Field(examples=[_EXAMPLE_ID])
    state: Order.State = Field(description="`placed` and `processing` are on their way; `fulfilled` and `failed` are final.")
    total: int = Field(description="In the currency's smallest unit.", examples=[9800])
    currency: str = Field(examples=["eur"])
    customer_email: str
    failure: Failure | None = Field(description="Why it failed, if it did.")
    created_at: datetime
    updated_at: datetime
    finished_at: datetime | None
    links: Links


class OrderAnswer(OrderSummary):
    """An order, its lines, and how far it has come."""

    lines: list[LineAnswer]
    steps: list[StepAnswer] = Field(description="Empty until a worker has taken the order up, and again 90 days after its end.")


class OrderPage(Schema):
    """Some orders, newest first."""

    items: list[OrderSummary]
    next_cursor: str | None = Field(description="Send it as `cursor` to get the next page; null on the last.")


class ProductRequest(RequestBody):
    """What a product is to be. What is left out of an existing product stays."""

    name: Annotated[str, Field(min_length=1, max_length=200)]
    price: Annotated[int, Field(ge=1, le=LARGEST_TOTAL_MINOR, description="In the currency's smallest unit.")]
    currency: Annotated[str, Field(pattern=r"^(eur|gbp|usd|jpy)$")]
    stock: Annotated[int, Field(ge=0, le=1_000_000, description="Of a new product: how many pieces there are.")] = 0


class ProductAnswer(Schema):
    sku: str
    name: str
    price: int
    currency: str
    stock: int


@router.post(
    "",
    response={201: OrderAnswer},
    summary="Place an order",
    url_name="orders",
    openapi_extra=problem_responses(400, 401, 409, 413, 415, 422, 503),
)
def create_order(request: HttpRequest, payload: OrderRequest, idempotency_key: IdempotencyKey = None) -> HttpResponse:
    """Accept an order and fulfil it in the background. The answer comes before the charge: follow `links.self`."""
    return answer_once(request, idempotency_key, lambda: _accept(request, payload))


@router.get("", response=OrderPage, summary="List orders", openapi_extra=problem_responses(401, 422, 503))
def list_orders(
    request: HttpRequest,
    limit: Limit = 20,
    cursor: Cursor = None,
) -> OrderPage:
    """The token owner's orders, newest first. Orders that arrive meanwhile do not shift the pages."""
    orders = Order.objects.filter(owner_id=request.user.pk)
    page, next_cursor = page_of(orders, limit=limit, cursor=cursor)
    return OrderPage(
        items=[OrderSummary(**_summary(request, order)) for order in page],
        next_cursor=next_cursor,
    )


@router.get(
    "/{order_id}", response=OrderAnswer, summary="Read an order", url_name="order", openapi_extra=problem_responses(401, 404, 422, 503)
)
def read_order(request: HttpRequest, order_id: uuid.UUID) -> OrderAnswer:
    """An order of the token's owner, with the steps of its saga. Others' orders are not there."""
    order = Order.objects.filter(owner_id=request.user.pk, pk=order_id).first()
    if order is None:
        raise Problem(404, detail=f"You have no order {order_id}.")
    return _answer(request, order)


@product_router.get(
    "", response=list[ProductAnswer], summary="List products", url_name="products", openapi_extra=problem_responses(401, 503)
)
def list_products(request: HttpRequest) -> list[ProductAnswer]:  # noqa: ARG001 — ninja gives it
    """What is sold, by SKU, a thousand at most."""
    return [_product(product) for product in Product.objects.filter(is_sold=True).order_by("sku")[:1000]]


@product_router.put(
    "/{sku}",
    response=ProductAnswer,
    summary="Offer a product",
    url_name="product",
    openapi_extra=problem_responses(400, 401, 403, 413, 415, 422, 503),
)
def put_product(request: HttpRequest, sku: str, payload: ProductRequest) -> ProductAnswer:
    """Add a product, or change its name and price. Its stock is set once; later it changes by orders, and in the admin. For staff."""
    if not (request.user.is_authenticated and request.user.is_staff):
        raise Problem(403, detail="Only staff offers products.")
    try:
        wanted = LineRequest(sku=sku, quantity=1)
    except ValueError as error:
        refused = FieldError(where="path", field="sku", reason="expected 1 to 40 printable ASCII characters")
        raise Problem(422, detail="Some fields cannot be accepted.", errors=[refused]) from error
    product, _ = Product.objects.update_or_create(
        sku=wanted.sku,
        defaults={"name": payload.name, "price_minor": payload.price, "is_sold": True},
        create_defaults={"name": payload.name, "price_minor": payload.price, "currency": payload.currency, "stock": payload.stock},
    )
    return _product(product)


def _accept(request: HttpRequest, payload: OrderRequest) -> Answer:
    if not request.user.is_authenticated:
        raise standard_problem(401)
    try:
        order = services.place_order(
            owner=request.user,
            wanted=[services.Wanted(sku=line.sku, quantity=line.quantity) for line in payload.lines],
            payment_method=payload.payment_method,
            customer_email=payload.customer_email,
        )
    except CannotBeOrdered as error:
        field = "lines" if error.line is None else f"lines.{error.line}"
        raise Problem(422, detail=str(error), errors=[FieldError(where="body", field=field, reason=str(error))]) from error
    return Answer(status=201, body=_answer(request, order).model_dump(mode="json"))


def _answer(request: HttpRequest, order: Order) -> OrderAnswer:
    lines = [
        LineAnswer(sku=line.product.sku, name=line.product.name, quantity=line.quantity, unit_price=line.unit_price_minor)
        for line in order.lines.select_related("product")
    ]
    saga = saga_of(services.SAGA, subject=order.pk)
    return OrderAnswer(**_summary(request, order), lines=lines, steps=_steps(saga) if saga else [])


def _steps(saga: Saga) -> list[StepAnswer]:
    return [
        StepAnswer(
            kind=Act.Kind(act.kind),
            name=act.name,
            state=Act.State(act.state),
            attempts=act.attempts,
            started_at=act.started_at,
            finished_at=act.finished_at,
            error=act.error or None,
        )
        for act in saga.acts.order_by("id")
    ]


def _summary(request: HttpRequest, order: Order) -> dict[str, Any]:
    return {
        "id": order.pk,
        "state": Order.State(order.state),
        "total": order.total_minor,
        "currency": order.currency,
        "customer_email": order.customer_email,
        "failure": Failure(code=order.failure_code, reason=order.failure_reason) if order.failure_code else None,
        "created_at": order.created_at,
        "updated_at": order.updated_at,
        "finished_at": order.finished_at,
        "links": Links(self=address_of(request, "order", order_id=order.pk)),
    }


def _product(product: Product) -> ProductAnswer:
    return ProductAnswer(sku=product.sku, name=product.name, price=product.price_minor, currency=product.currency, stock=product.stock)
