"""Pages of rows, newest first; rows that arrive meanwhile do not shift them.

A cursor is the place of a page's last row, by moment and id, and the next page begins below it: no page is counted off from the first.
Limit: for models with a moment ``created_at`` and a UUID as their key. Use: ``rows, next_cursor = page_of(queryset, limit=…, cursor=…)``.
"""

import base64
import binascii
import uuid
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

from django.db.models import Model, Q, QuerySet
from ninja import Query

from app.api.errors import FieldError, Problem

M = TypeVar("M", bound=Model)

Limit = Annotated[int, Query(ge=1, le=100, description="How many on the page, at most.")]
Cursor = Annotated[str | None, Query(max_length=200, description="`next_cursor` of the page before.")]


def page_of(rows: QuerySet[M], *, limit: int, cursor: str | None) -> tuple[list[M], str | None]:
    """The page after ``cursor``, and the cursor of the next: ``None`` on the last. Raises :class:`Problem` 422 for a cursor that is not ours."""
    ordered = rows.order_by("-created_at", "-id")
    if cursor is not None:
        created_at, pk = _read(cursor)
        ordered = ordered.filter(Q(created_at__lt=created_at) | Q(created_at=created_at, id__lt=pk))
    found = list(ordered[: limit + 1])
    page = found[:limit]
    return page, _write(page[-1]) if len(found) > limit else None


def _write(last: Any) -> str:
    return base64.urlsafe_b64encode(f"{last.created_at.isoformat()}|{last.pk}".encode()).decode().rstrip("=")


def _read(cursor: str) -> tuple[datetime, uuid.UUID]:
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
        created_at, _, pk = text.partition("|")
        # A moment without a zone is read in ours; only we write cursors.
        return datetime.fromisoformat(created_at).astimezone(UTC), uuid.UUID(pk)
    except (ValueError, OverflowError, binascii.Error) as error:
        refused = FieldError(where="query", field="cursor", reason="expected the next_cursor of an earlier answer")
        raise Problem(422, detail="Some fields cannot be accepted.", errors=[refused]) from error
