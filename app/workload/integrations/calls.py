"""Calls of registered endpoints, recorded under the id of their job.

    request: row and job are one transaction ──▶ a run finds the row, or makes it for a job that others published
    run ── breaker open ──▶ row: postponed; the job is put off, no attempt
     ├──── 5xx, 429, no answer ──▶ row: what happened; the job is retried, or failed for good
     └──── any other answer ──▶ row: succeeded or refused, which no run changes any more

The same call is made again when its worker died before the row said what came of it: under the same idempotency key.
"""

import json
import uuid
from collections.abc import Mapping
from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.db.models import F
from django.utils import timezone
from pydantic import ValidationError

from app.engine.circuit_breaker import CircuitOpen
from app.engine.errors import PermanentError, TransientError
from app.engine.outbound import Answer, AnswerUnusable
from app.engine.outbox.publisher import publish
from app.workload.integrations import partner
from app.workload.integrations.endpoints import callable_endpoint
from app.workload.integrations.errors import CallUnknown, PayloadRefused
from app.workload.integrations.models import LONGEST_REASON, PartnerCall

State = PartnerCall.State
#: More of an answer is nothing that a page or a program reads here.
_LARGEST_ANSWER = 20_000


def request_call(*, owner: AbstractBaseUser, endpoint_name: str, payload: Mapping[str, Any]) -> PartnerCall:
    """Record a call and publish its job. Raises ``EndpointUnknown`` and pydantic's ``ValidationError``, and then nothing was done."""
    endpoint, schema = callable_endpoint(endpoint_name)
    checked = schema.model_validate(payload).model_dump(mode="json")
    with transaction.atomic():
        task_id = publish("integrations.call_external_api", endpoint_name=endpoint.name, payload=checked)
        return PartnerCall.objects.create(id=uuid.UUID(task_id), owner_id=owner.pk, endpoint=endpoint.name, payload=checked)


def call_external_api(*, call_id: str | None, endpoint_name: str, payload: Mapping[str, Any], is_last_attempt: bool) -> PartnerCall:
    """Call, unless the row says that it has ended. Raises what :func:`app.workload.integrations.partner.ask` does."""
    endpoint, schema = callable_endpoint(endpoint_name)
    try:
        checked = schema.model_validate(payload).model_dump(mode="json")
    except ValidationError as error:
        raise PayloadRefused(f"{endpoint_name} does not take this payload: {error.error_count()} field(s) are wrong.") from error
    pk = _parse_id(call_id)
    call, _ = PartnerCall.objects.get_or_create(pk=pk, defaults={"endpoint": endpoint.name, "payload": checked})
    if call.is_final:
        return call
    _change(pk, state=State.CALLING, finished_at=None)
    try:
        answer = partner.ask(endpoint, payload=checked, idempotency_key=f"call-{pk}")
    except CircuitOpen as error:
        _change(pk, state=State.POSTPONED, postponed=F("postponed") + 1, reason=str(error)[:LONGEST_REASON])
        raise
    except (TransientError, PermanentError) as error:
        is_over = is_last_attempt or isinstance(error, PermanentError)
        ended = {"state": State.FAILED, "finished_at": timezone.now()} if is_over else {}
        _change(pk, attempts=F("attempts") + 1, reason=str(error)[:LONGEST_REASON], **ended)
        raise
    _change(
        pk,
        state=State.SUCCEEDED if answer.is_success else State.REFUSED,
        attempts=F("attempts") + 1,
        status=answer.status,
        answer=_shown(answer),
        reason="" if answer.is_success else f"The partner answered {answer.status}.",
        finished_at=timezone.now(),
    )
    call.refresh_from_db()
    return call


# | not final ── a run changes it ──▶ … |  final ── a late twin ──▶ unchanged |
def _change(pk: uuid.UUID, **changes: Any) -> None:
    PartnerCall.objects.filter(pk=pk).exclude(state__in=PartnerCall.FINAL).update(updated_at=timezone.now(), **changes)


def _shown(answer: Answer) -> Any:
    """The answer as JSON, or as text if it is none; without what PostgreSQL cannot keep."""
    text = answer.body[:_LARGEST_ANSWER].decode(errors="replace").replace("\0", "")
    if len(answer.body) <= _LARGEST_ANSWER and "\\u0000" not in text:
        try:
            shown = answer.json()
            json.dumps(shown, allow_nan=False).encode()
            return shown
        except (AnswerUnusable, ValueError):
            return text
    return text


def _parse_id(call_id: str | None) -> uuid.UUID:
    try:
        return uuid.UUID(call_id or "")
    except ValueError as error:
        raise CallUnknown(f"{call_id!r:.100} is not the id of a call; expected that of its job, a UUID.") from error
