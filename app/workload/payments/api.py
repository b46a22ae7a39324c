"""``/api/payments``: for programs of the shop."""

import uuid
from datetime import datetime
from typing import Annotated, Any

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.http import HttpRequest, HttpResponse
from ninja import Router, Schema
from pydantic import AfterValidator, ConfigDict, Field

from app.api.addresses import address_of
from app.api.errors import Problem
from app.api.idempotency import Answer, IdempotencyKey, answer_once
from app.api.paging import Cursor, Limit, page_of
from app.api.problems import problem_responses, standard_problem
from app.api.schemas import RequestBody
from app.workload.payments import refunds, services
from app.workload.payments.errors import NotRefundable
from app.workload.payments.models import Payment, Refund
from app.workload.payments.money import CURRENCIES, LARGEST_AMOUNT_MINOR, Money

router = Router(tags=["payments"])

_EXAMPLE_ID = "7f7c4a3e-0a4e-4d7b-9d0e-2f6f3c1f9a11"
_EXAMPLE_REQUEST: dict[str, Any] = {
    "amount": 1999,
    "currency": "eur",
    "payment_method": "pm_card_visa",
    "customer_email": "ada@example.com",
    "description": "Order 1815",
}


def _check_currency(code: str) -> str:
    if code not in CURRENCIES:
        raise ValueError(f"expected one of {', '.join(sorted(CURRENCIES))}, in lower case")
    return code


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


class PaymentRequest(RequestBody):
    """What to charge, and whom to tell."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE_REQUEST]})

    amount: Annotated[int, Field(ge=1, le=LARGEST_AMOUNT_MINOR, description="In the smallest unit: 1999 is 19.99 EUR or 1999 JPY.")]
    currency: Annotated[
        str, AfterValidator(_check_currency), Field(description="ISO 4217, lower case.", json_schema_extra={"enum": sorted(CURRENCIES)})
    ]
    payment_method: Annotated[
        str, AfterValidator(_check_payment_method), Field(min_length=1, max_length=255, description="The gateway's reference to the card.")
    ]
    customer_email: Annotated[str, AfterValidator(_check_email), Field(max_length=254, description="Who gets the confirmation.")]
    description: Annotated[str, Field(max_length=500, description="Stands in the confirmation.")] = ""


class Failure(Schema):
    code: str = Field(description="The gateway's decline code.", examples=["insufficient_funds"])
    reason: str = Field(description="For people.", examples=["Your card has insufficient funds."])


class RefundRequest(RequestBody):
    """Why the money goes back."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"reason": "The parcel was lost."}]})

    reason: Annotated[str, Field(max_length=500, description="For the shop's staff.")] = ""


class RefundAnswer(Schema):
    """The payment's refund as it is now: always the whole amount."""

    state: Refund.State = Field(description="`requested` and `refunding` are on their way; `refunded` and `failed` are final.")
    amount: int = Field(description="In the currency's smallest unit.", examples=[1999])
    reason: str
    refund_id: str | None = Field(description="The gateway's refund, once it is made.", examples=["re_3QkX2e"])
    failure: Failure | None
    created_at: datetime
    finished_at: datetime | None


class Links(Schema):
    self: str = Field(examples=[f"/api/payments/{_EXAMPLE_ID}"])


class PaymentAnswer(Schema):
    """A payment as it is now."""

    id: uuid.UUID = Field(examples=[_EXAMPLE_ID])
    state: Payment.State = Field(description="`requested` and `charging` are on their way; `captured` and `failed` are final.")
    amount: int = Field(description="In the currency's smallest unit.", examples=[1999])
    currency: str = Field(examples=["eur"])
    payment_method: str = Field(examples=["pm_card_visa"])
    customer_email: str = Field(examples=["ada@example.com"])
    description: str = Field(examples=["Order 1815"])
    transaction_id: str | None = Field(description="The gateway's charge, once captured.", examples=["ch_3QkX2e"])
    failure: Failure | None = Field(description="Why it failed, if it did.")
    refund: RefundAnswer | None = Field(description="If one was requested.")
    created_at: datetime
    updated_at: datetime
    finished_at: datetime | None = Field(description="When it became final.")
    links: Links


class PaymentPage(Schema):
    """Some payments, newest first."""

    items: list[PaymentAnswer]
    next_cursor: str | None = Field(description="Send it as `cursor` to get the next page; null on the last.")


@router.post(
    "",
    response={201: PaymentAnswer},
    summary="Request a payment",
    url_name="payments",
    openapi_extra=problem_responses(400, 401, 409, 413, 415, 422, 503),
)
def create_payment(request: HttpRequest, payload: PaymentRequest, idempotency_key: IdempotencyKey = None) -> HttpResponse:
    """Accept a payment and charge it in the background. The answer comes before the charge: follow `links.self`."""
    return answer_once(request, idempotency_key, lambda: _accept(request, payload))


@router.get("", response=PaymentPage, summary="List payments", openapi_extra=problem_responses(401, 422, 503))
def list_payments(
    request: HttpRequest,
    limit: Limit = 20,
    cursor: Cursor = None,
) -> PaymentPage:
    """The token owner's payments, newest first. Payments that arrive meanwhile do not shift the pages."""
    payments = Payment.objects.select_related("refund").filter(owner_id=request.user.pk)
    page, next_cursor = page_of(payments, limit=limit, cursor=cursor)
    return PaymentPage(
        items=[_answer(request, payment) for payment in page],
        next_cursor=next_cursor,
    )


@router.get(
    "/{payment_id}",
    response=PaymentAnswer,
    summary="Read a payment",
    url_name="payment",
    openapi_extra=problem_responses(401, 404, 422, 503),
)
def read_payment(request: HttpRequest, payment_id: uuid.UUID) -> PaymentAnswer:
    """A payment of the token's owner. Others' payments are not there."""
    return _answer(request, _own(request, payment_id))


@router.post(
    "/{payment_id}/refund",
    response={201: PaymentAnswer},
    summary="Refund a payment",
    url_name="payment-refund",
    openapi_extra=problem_responses(400, 401, 404, 409, 413, 415, 422, 503),
)
def refund_payment(
    request: HttpRequest, payment_id: uuid.UUID, payload: RefundRequest, idempotency_key: IdempotencyKey = None
) -> HttpResponse:
    """Give the whole amount back, in the background. 409 for a payment that is not captured, or is refunded already."""
    payment = _own(request, payment_id)
    return answer_once(request, idempotency_key, lambda: _accept_refund(request, payment, payload))


def _own(request: HttpRequest, payment_id: uuid.UUID) -> Payment:
    payment = Payment.objects.select_related("refund").filter(owner_id=request.user.pk, pk=payment_id).first()
    if payment is None:
        raise Problem(404, detail=f"You have no payment {payment_id}.")
    return payment


def _accept_refund(request: HttpRequest, payment: Payment, payload: RefundRequest) -> Answer:
    try:
        refunds.request_refund(payment.pk, reason=payload.reason)
    except NotRefundable as error:
        raise Problem(409, detail=str(error)) from error
    payment = _own(request, payment.pk)
    return Answer(status=201, body=_answer(request, payment).model_dump(mode="json"))


def _accept(request: HttpRequest, payload: PaymentRequest) -> Answer:
    if not request.user.is_authenticated:
        raise standard_problem(401)
    payment = services.request_payment(
        owner=request.user,
        money=Money(amount_minor=payload.amount, currency=payload.currency),
        payment_method=payload.payment_method,
        customer_email=payload.customer_email,
        description=payload.description,
    )
    return Answer(status=201, body=_answer(request, payment).model_dump(mode="json"))


def _answer(request: HttpRequest, payment: Payment) -> PaymentAnswer:
    failure = Failure(code=payment.failure_code, reason=payment.failure_reason) if payment.failure_code else None
    return PaymentAnswer(
        id=payment.pk,
        state=Payment.State(payment.state),
        amount=payment.amount_minor,
        currency=payment.currency,
        payment_method=payment.payment_method,
        customer_email=payment.customer_email,
        description=payment.description,
        transaction_id=payment.transaction_id,
        failure=failure,
        refund=_refund_answer(payment),
        created_at=payment.created_at,
        updated_at=payment.updated_at,
        finished_at=payment.finished_at,
        links=Links(self=address_of(request, "payment", payment_id=payment.pk)),
    )


def _refund_answer(payment: Payment) -> RefundAnswer | None:
    refund: Refund | None = getattr(payment, "refund", None)
    if refund is None:
        return None
    return RefundAnswer(
        state=Refund.State(refund.state),
        amount=refund.amount_minor,
        reason=refund.reason,
        refund_id=refund.gateway_refund_id,
        failure=Failure(code=refund.failure_code, reason=refund.failure_reason) if refund.failure_code else None,
        created_at=refund.created_at,
        finished_at=refund.finished_at,
    )
