"""``/api/integrations``: for programs of the shop."""

import uuid
from datetime import datetime
from typing import Annotated, Any

from django.http import HttpRequest, HttpResponse
from ninja import Router, Schema
from ninja.errors import ValidationError as RequestInvalid
from pydantic import ConfigDict, Field, ValidationError

from app.api.addresses import address_of
from app.api.errors import FieldError, Problem
from app.api.idempotency import Answer, IdempotencyKey, answer_once
from app.api.paging import Cursor, Limit, page_of
from app.api.problems import problem_responses, standard_problem
from app.api.schemas import RequestBody
from app.engine.circuit_breaker import State
from app.workload.integrations import calls
from app.workload.integrations.breaker_states import breaker_states
from app.workload.integrations.endpoints import ENDPOINTS
from app.workload.integrations.errors import EndpointUnknown
from app.workload.integrations.models import PartnerCall

router = Router(tags=["integrations"])

_EXAMPLE_ID = "7f7c4a3e-0a4e-4d7b-9d0e-2f6f3c1f9a11"
_EXAMPLE_REQUEST: dict[str, Any] = {
    "endpoint": "shipping_quote",
    "payload": {"country": "DE", "postcode": "10115", "weight_grams": 1200},
}


class CallRequest(RequestBody):
    """What to ask the partner. A URL cannot be sent: what is called stands in our registry."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE_REQUEST]})

    endpoint: Annotated[str, Field(min_length=1, max_length=100, description="One of `GET /api/integrations/endpoints`.")]
    payload: Annotated[dict[str, Any], Field(description="What that endpoint takes.")]


class EndpointAnswer(Schema):
    name: str = Field(examples=["shipping_quote"])
    purpose: str
    breaker: str = Field(description="The circuit breaker in front of it.", examples=["partner-shipping"])
    payload_schema: dict[str, Any] = Field(description="JSON Schema of what it takes.")


class EndpointList(Schema):
    items: list[EndpointAnswer]


class BreakerAnswer(Schema):
    """While one is open or half-open, calls are postponed and lose no attempt."""

    name: str
    endpoints: list[str]
    state: State
    failures: int = Field(description="In a row.")
    probe_in_seconds: float = Field(description="Until the next probe may leave.")
    reason: str = Field(description="The latest failure.")
    changed_at: datetime | None


class BreakerList(Schema):
    items: list[BreakerAnswer]


class Links(Schema):
    self: str


class CallAnswer(Schema):
    id: uuid.UUID = Field(description="Also that of its job.", examples=[_EXAMPLE_ID])
    endpoint: str
    payload: dict[str, Any]
    state: PartnerCall.State = Field(
        description="`requested`, `calling` and `postponed` are on their way; `succeeded` and `refused` are final; `failed` has no attempt left."
    )
    attempts: int = Field(description="Calls that left, and of whose end we know.")
    postponed: int = Field(description="How often it was put off because the breaker was open.")
    status: int | None = Field(description="The partner's, once it has answered.")
    answer: Any = Field(description="What the partner said: JSON, or text.")
    reason: str = Field(description="Why it is not succeeded.")
    created_at: datetime
    updated_at: datetime
    finished_at: datetime | None
    links: Links


class CallPage(Schema):
    """Some calls, newest first."""

    items: list[CallAnswer]
    next_cursor: str | None = Field(description="Send it as `cursor` to get the next page; null on the last.")


@router.get("/endpoints", response=EndpointList, summary="List what can be called", openapi_extra=problem_responses(401))
def list_endpoints(request: HttpRequest) -> EndpointList:  # noqa: ARG001 — django-ninja gives it
    """The registered endpoints and what each takes."""
    return EndpointList(
        items=[
            EndpointAnswer(
                name=endpoint.name,
                purpose=endpoint.purpose,
                breaker=endpoint.breaker,
                payload_schema=endpoint.payload.model_json_schema(),
            )
            for endpoint in ENDPOINTS
            if endpoint.payload is not None
        ]
    )


@router.get("/breakers", response=BreakerList, summary="Read the breakers", openapi_extra=problem_responses(401, 503))
def list_breakers(request: HttpRequest) -> BreakerList:  # noqa: ARG001 — the same
    """Whether calls leave just now. The same for all workers."""
    return BreakerList(
        items=[
            BreakerAnswer(
                name=one.name,
                endpoints=list(one.endpoints),
                state=one.state,
                failures=one.failures,
                probe_in_seconds=one.probe_in.total_seconds(),
                reason=one.reason,
                changed_at=one.changed_at,
            )
            for one in breaker_states()
        ]
    )


@router.post(
    "/calls",
    response={201: CallAnswer},
    summary="Request a call",
    url_name="partner_calls",
    openapi_extra=problem_responses(400, 401, 409, 413, 415, 422, 503),
)
def create_call(request: HttpRequest, payload: CallRequest, idempotency_key: IdempotencyKey = None) -> HttpResponse:
    """Accept a call and make it in the background. The answer comes before the partner's: follow `links.self`."""
    return answer_once(request, idempotency_key, lambda: _accept(request, payload))


@router.get("/calls", response=CallPage, summary="List calls", openapi_extra=problem_responses(401, 422, 503))
def list_calls(
    request: HttpRequest,
    limit: Limit = 20,
    cursor: Cursor = None,
) -> CallPage:
    """The token owner's calls, newest first. Calls that arrive meanwhile do not shift the pages."""
    own = PartnerCall.objects.filter(owner_id=request.user.pk)
    page, next_cursor = page_of(own, limit=limit, cursor=cursor)
    return CallPage(
        items=[_answer(request, call) for call in page],
        next_cursor=next_cursor,
    )


@router.get(
    "/calls/{call_id}",
    response=CallAnswer,
    summary="Read a call",
    url_name="partner_call",
    openapi_extra=problem_responses(401, 404, 422, 503),
)
def read_call(request: HttpRequest, call_id: uuid.UUID) -> CallAnswer:
    """A call of the token's owner. Others' calls are not there."""
    call = PartnerCall.objects.filter(owner_id=request.user.pk, pk=call_id).first()
    if call is None:
        raise Problem(404, detail=f"You have no call {call_id}.")
    return _answer(request, call)


def _accept(request: HttpRequest, payload: CallRequest) -> Answer:
    if not request.user.is_authenticated:
        raise standard_problem(401)
    try:
        call = calls.request_call(owner=request.user, endpoint_name=payload.endpoint, payload=payload.payload)
    except EndpointUnknown as error:
        refused = FieldError(where="body", field="endpoint", reason=str(error))
        raise Problem(422, detail="Some fields cannot be accepted.", errors=[refused]) from error
    except ValidationError as error:
        # Told as if the body had been read so at once: its place begins with the view's argument.
        raise RequestInvalid([{**one, "loc": ("body", "payload", "payload", *one["loc"])} for one in error.errors()]) from error
    return Answer(status=201, body=_answer(request, call).model_dump(mode="json"))


def _answer(request: HttpRequest, call: PartnerCall) -> CallAnswer:
    return CallAnswer(
        id=call.pk,
        endpoint=call.endpoint,
        payload=call.payload,
        state=PartnerCall.State(call.state),
        attempts=call.attempts,
        postponed=call.postponed,
        status=call.status,
        answer=call.answer,
        reason=call.reason,
        created_at=call.created_at,
        updated_at=call.updated_at,
        finished_at=call.finished_at,
        links=Links(self=address_of(request, "partner_call", call_id=call.pk)),
    )
