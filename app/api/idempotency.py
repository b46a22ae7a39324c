"""One answer per ``Idempotency-Key``.

    begin ── INSERT key ──▶ mine ─── work, store the answer ───▶ commit
                  │  (a twin waits here for the first to commit or roll back)
                  └───────▶ taken ── same request ──▶ the stored answer
                                  └─ another one ───▶ 422

Limit: keys are forgotten after a day, and are one owner's own. Only answers of committed work are stored, so a refused
request may be corrected and sent again with the same key.

Use: ``answer_once(request, key, lambda: Answer(status=201, body=…))``. Stores ``IdempotentRequest``.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Annotated, Any

from django.db import OperationalError, connection, transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from ninja import Header

from app.api.documents import canonical_json, read_json
from app.api.errors import Problem
from app.api.models import IdempotentRequest
from app.engine.old_rows import delete_in_batches

PATIENCE = timedelta(seconds=5)
"""How long a request waits for its twin."""
REMEMBERED_FOR = timedelta(hours=24)
KEY_HEADER: Any = partial(Header, alias="Idempotency-Key", min_length=1, max_length=255, pattern=r"^[\x20-\x7e]+$")
"""The parameter of an endpoint that takes a key; only its description differs."""
IdempotencyKey = Annotated[
    str | None,
    KEY_HEADER(
        description="A new value, such as a UUID, for each request that you mean; send it again when an answer got lost. "
        "The same key and request get the same answer for 24 hours, with `Idempotent-Replayed: true`.",
    ),
]
"""That parameter where a request makes something."""
_LOCK_NOT_AVAILABLE = "55P03"


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What a handler did, as status and JSON."""

    status: int
    body: dict[str, Any]


def answer_once(request: HttpRequest, key: str | None, handler: Callable[[], Answer], *, content: bytes | None = None) -> HttpResponse:
    """Run ``handler`` in a transaction and answer what it returns; the same request with the same key gets that answer again.

    ``content`` stands for a body that is no JSON, such as an upload: equal for equal requests. Raises :class:`Problem` 422 if the key belongs to another request, 409 if its twin is still at work after ``PATIENCE``.
    Without a key this is only the transaction.
    """
    with transaction.atomic():
        if key is None:
            answer = handler()
            return JsonResponse(answer.body, status=answer.status)
        row, is_mine = _claim(request, key, fingerprint := fingerprint_of(request, content))
        if is_mine:
            answer = handler()
            row.status, row.body = answer.status, answer.body
            row.save(update_fields=["status", "body"])
            return JsonResponse(answer.body, status=answer.status)
        if row.fingerprint != fingerprint:
            raise Problem(
                422,
                title="Idempotency-Key belongs to another request",
                detail="This key was sent before with another method, address or body. Send a new key for a new request.",
                type="urn:millrace:problem:idempotency-key-reused",
            )
        return JsonResponse(row.body, status=row.status, headers={"Idempotent-Replayed": "true"})


def fingerprint_of(request: HttpRequest, content: bytes | None = None) -> str:
    """The same for requests that ask for the same."""
    body = content if content is not None else canonical_json(read_json(request.body)) if request.body else b""
    return hashlib.sha256(b"\n".join([(request.method or "").encode(), request.path.encode(), body])).hexdigest()


def forget_old_requests(now: datetime | None = None, batch: int = 1000, batches: int = 100) -> int:
    """Delete keys older than a day and return how many, at most ``batches`` of ``batch``; the next run goes on."""
    too_old = IdempotentRequest.objects.filter(created_at__lt=(now or timezone.now()) - REMEMBERED_FOR)
    return delete_in_batches(too_old, "created_at", batch=batch, batches=batches)


def _claim(request: HttpRequest, key: str, fingerprint: str) -> tuple[IdempotentRequest, bool]:
    with connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL lock_timeout = '{int(PATIENCE.total_seconds() * 1000)}ms'")
        try:
            # Waits in the unique index for a twin that has inserted and not committed.
            row, is_mine = IdempotentRequest.objects.get_or_create(owner_id=request.user.pk, key=key, defaults={"fingerprint": fingerprint})
        except OperationalError as error:
            if getattr(error.__cause__, "sqlstate", None) != _LOCK_NOT_AVAILABLE:
                raise
            raise Problem(
                409,
                title="The first request is still at work",
                detail=f"A request with this Idempotency-Key has been at work for {PATIENCE.total_seconds():.0f} s. Send it again later.",
                type="urn:millrace:problem:idempotency-key-in-use",
                headers={"Retry-After": "5"},
            ) from error
        cursor.execute("SET LOCAL lock_timeout TO DEFAULT")
    return row, is_mine
