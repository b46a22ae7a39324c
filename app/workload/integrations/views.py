"""Pages for the staff of the shop."""

import json
import uuid
from collections.abc import Callable
from typing import TypeVar

from django.contrib.admin.views.decorators import staff_member_required
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from app.engine.circuit_breaker import State
from app.engine.errors import EngineError
from app.workload.integrations.breaker_states import BreakerState, breaker_states
from app.workload.integrations.models import PartnerCall, PartnerUser, SyncCursor

_PER_PAGE = 50
#: State → modifier of the badge's class.
TONES = {
    PartnerCall.State.REQUESTED: "idle",
    PartnerCall.State.CALLING: "busy",
    PartnerCall.State.POSTPONED: "warn",
    PartnerCall.State.SUCCEEDED: "ok",
    PartnerCall.State.REFUSED: "bad",
    PartnerCall.State.FAILED: "bad",
}
_BREAKER_TONES = {State.CLOSED: "ok", State.HALF_OPEN: "warn", State.OPEN: "bad"}
_BREAKER_LABELS = {State.CLOSED: "Closed", State.HALF_OPEN: "Half-open", State.OPEN: "Open"}
V = TypeVar("V", bound=Callable[..., HttpResponse])


def _staff_only(view: V) -> V:
    return staff_member_required(view, login_url="login")


@require_safe
@_staff_only
def call_list(request: HttpRequest) -> HttpResponse:
    """The breakers, and all calls, newest first; ``?state=`` shows those of one state."""
    state = request.GET.get("state", "")
    calls = PartnerCall.objects.select_related("owner").order_by("-created_at", "-id")
    if state in PartnerCall.State.values:
        calls = calls.filter(state=state)
    else:
        state = ""
    page = Paginator(calls, _PER_PAGE).get_page(request.GET.get("page"))
    context = {
        "page": page,
        "rows": [(call, TONES[PartnerCall.State(call.state)]) for call in page],
        "state": state,
        "states": PartnerCall.State.choices,
        "breakers": _breakers(),
    }
    return render(request, "integrations/list.html", context)


def _breakers() -> list[tuple[BreakerState, str, str]] | None:
    """With label and tone; nothing while DynamoDB does not tell."""
    try:
        return [(one, _BREAKER_LABELS[one.state], _BREAKER_TONES[one.state]) for one in breaker_states()]
    except EngineError:
        return None


@require_safe
@_staff_only
def call_detail(request: HttpRequest, call_id: uuid.UUID) -> HttpResponse:
    call = get_object_or_404(PartnerCall.objects.select_related("owner"), pk=call_id)
    answer = None if call.answer is None else json.dumps(call.answer, indent=2, ensure_ascii=False)
    context = {
        "call": call,
        "tone": TONES[PartnerCall.State(call.state)],
        "payload": json.dumps(call.payload, indent=2, ensure_ascii=False),
        "answer": answer,
    }
    return render(request, "integrations/detail.html", context)


@require_safe
@_staff_only
def user_list(request: HttpRequest) -> HttpResponse:
    """The partner's users, the latest taken over first."""
    page = Paginator(PartnerUser.objects.order_by("-synced_at", "-id"), _PER_PAGE).get_page(request.GET.get("page"))
    return render(request, "integrations/users.html", {"page": page, "cursor": SyncCursor.objects.first()})
