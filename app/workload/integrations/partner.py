"""The partner's API. The only module that calls it: above, nobody sees HTTP."""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, urlencode

from django.conf import settings

from app.engine.circuit_breaker import breaker
from app.engine.outbound import Answer, AnswerUnusable, client
from app.workload.integrations.endpoints import USER, USER_CHANGES, Endpoint
from app.workload.integrations.errors import PartnerFails, PartnerSpeaksOtherwise

_LONGEST_ID = 100
_LONGEST_CURSOR = 200


def ask(endpoint: Endpoint, *, tail: str = "", payload: Mapping[str, Any] | None = None, idempotency_key: str = "") -> Answer:
    """The partner's answer, whatever it says, unless it says that it is in trouble.

    Raises :class:`~app.engine.circuit_breaker.CircuitOpen` before anything leaves, ``PartnerFails`` and
    :class:`~app.engine.outbound.PartnerAway`, which count as its failures, ``AnswerUnusable`` and ``CallRefused``, which do not.
    """
    headers = {"Authorization": f"Bearer {settings.PARTNER_API_KEY}"}
    if idempotency_key:
        headers["Idempotency-Key"] = idempotency_key
    with breaker(endpoint.breaker).call():
        answer = client().send(endpoint.method, f"{settings.PARTNER_API_BASE}{endpoint.path}{tail}", json=payload, headers=headers)
        if answer.is_partners_failure:
            raise PartnerFails(f"{endpoint.name} answered {answer.status}.")
    return answer


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    partner_user_id: str
    version: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ChangePage:
    changes: tuple[Change, ...]
    next_cursor: str
    has_more: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class RemoteUser:
    partner_user_id: str
    version: int
    name: str
    email: str


def changes_after(cursor: str, limit: int) -> ChangePage:
    """The next page of changes. Raises what :func:`ask` does, and ``PartnerSpeaksOtherwise``."""
    told = _read(USER_CHANGES, ask(USER_CHANGES, tail="?" + urlencode({"after": cursor, "limit": limit})))
    try:
        page = ChangePage(
            changes=tuple(Change(partner_user_id=_text(one["id"], _LONGEST_ID), version=int(one["version"])) for one in told["users"]),
            next_cursor=_text(told["next_cursor"], _LONGEST_CURSOR),
            has_more=bool(told["has_more"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise PartnerSpeaksOtherwise(f"A page of {USER_CHANGES.name} after {cursor!r} lacks something: {error!r:.200}") from error
    if page.has_more and page.next_cursor == cursor:
        raise PartnerSpeaksOtherwise(f"{USER_CHANGES.name} leads from {cursor!r} to the same place: it would be read for ever.")
    return page


def read_user(partner_user_id: str) -> RemoteUser | None:
    """A user as it is now; nothing if the partner knows it no more."""
    answer = ask(USER, tail=quote(partner_user_id, safe=""))
    if answer.status == HTTPStatus.NOT_FOUND:
        return None
    told = _read(USER, answer)
    try:
        return RemoteUser(
            partner_user_id=_text(told["id"], _LONGEST_ID),
            version=int(told["version"]),
            name=_text(told["name"], 200),
            email=_text(told["email"], 254),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise PartnerSpeaksOtherwise(f"User {partner_user_id!r} lacks something: {error!r:.200}") from error


def _read(endpoint: Endpoint, answer: Answer) -> Any:
    if not answer.is_success:
        raise PartnerSpeaksOtherwise(f"{endpoint.name} answered {answer.status}, which it has no reason for. Is PARTNER_API_KEY right?")
    try:
        return answer.json()
    except AnswerUnusable as error:
        raise PartnerSpeaksOtherwise(f"{endpoint.name}: {error}") from error


def _text(value: Any, longest: int) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= longest or "\0" in value:
        raise ValueError(f"expected a text of 1 to {longest} characters, got {value!r:.100}")
    return value
