"""The registry: everything that we call, and what it takes. A URL is never made of what a user sends."""

import difflib
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from app.api.schemas import RequestBody
from app.workload.integrations.errors import EndpointUnknown

SHIPPING = "partner-shipping"
DIRECTORY = "partner-directory"


class ShippingQuote(RequestBody):
    """What is to be sent, and where to."""

    country: Annotated[str, Field(pattern=r"^[A-Z]{2}$", description="ISO 3166, two capitals.")]
    postcode: Annotated[str, Field(min_length=2, max_length=12, pattern=r"^[A-Za-z0-9 -]+$")]
    weight_grams: Annotated[int, Field(ge=1, le=70_000)]


@dataclass(frozen=True, kw_only=True, slots=True)
class Endpoint:
    """``breaker`` is shared by what fails together. Without a ``payload`` it is our own errand, and nobody asks for it by name."""

    name: str
    purpose: str
    method: str
    path: str
    breaker: str
    payload: type[RequestBody] | None = None


SHIPPING_QUOTE = Endpoint(
    name="shipping_quote",
    purpose="What a parcel costs, and how long it takes.",
    method="POST",
    path="/v1/shipping/quotes",
    breaker=SHIPPING,
    payload=ShippingQuote,
)
USER_CHANGES = Endpoint(
    name="user_changes", purpose="Which users changed since a cursor.", method="GET", path="/v1/users/changes", breaker=DIRECTORY
)
USER = Endpoint(name="user", purpose="A user as the partner knows it now.", method="GET", path="/v1/users/", breaker=DIRECTORY)

ENDPOINTS = (SHIPPING_QUOTE, USER_CHANGES, USER)
BREAKERS = tuple(dict.fromkeys(endpoint.breaker for endpoint in ENDPOINTS))


def callable_endpoint(name: str) -> tuple[Endpoint, type[RequestBody]]:
    """An endpoint that may be asked for by name, and what it takes. Raises :class:`EndpointUnknown`."""
    known = {endpoint.name: (endpoint, endpoint.payload) for endpoint in ENDPOINTS if endpoint.payload is not None}
    if name not in known:
        close = difflib.get_close_matches(name[:100], known, n=1)
        hint = f"Did you mean {close[0]}?" if close else f"The endpoints are {', '.join(sorted(known))}."
        raise EndpointUnknown(f"No endpoint {name!r:.120} can be called. {hint}")
    return known[name]
