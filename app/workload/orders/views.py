"""Pages for the staff of the shop."""

import uuid
from collections.abc import Callable
from typing import Any, TypeVar

from django.contrib.admin.views.decorators import staff_member_required
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from app.engine.sagas.conductor import saga_of
from app.engine.sagas.models import Saga
from app.workload.orders.models import Order
from app.workload.orders.services import SAGA
from app.workload.orders.story import SAGA_TONES, TONES, tell

_PER_PAGE = 50
V = TypeVar("V", bound=Callable[..., HttpResponse])


def _staff_only(view: V) -> V:
    return staff_member_required(view, login_url="login")


@require_safe
@_staff_only
def order_list(request: HttpRequest) -> HttpResponse:
    """All orders, newest first; ``?state=`` shows those of one state."""
    state = request.GET.get("state", "")
    orders = Order.objects.select_related("owner").order_by("-created_at", "-id")
    if state in Order.State.values:
        orders = orders.filter(state=state)
    else:
        state = ""
    page = Paginator(orders, _PER_PAGE).get_page(request.GET.get("page"))
    rows = [(order, TONES[Order.State(order.state)]) for order in page]
    return render(request, "orders/list.html", {"page": page, "rows": rows, "state": state, "states": Order.State.choices})


@require_safe
@_staff_only
@never_cache
def order_detail(request: HttpRequest, order_id: uuid.UUID) -> HttpResponse:
    return render(request, "orders/detail.html", _told(order_id))


@require_safe
@_staff_only
@never_cache
def order_live(request: HttpRequest, order_id: uuid.UUID) -> HttpResponse:
    """What changes on the page while the saga moves."""
    return render(request, "orders/detail_live.html", _told(order_id) | {"is_refresh": True})


def _told(order_id: uuid.UUID) -> dict[str, Any]:
    order = get_object_or_404(Order.objects.select_related("owner"), pk=order_id)
    saga = saga_of(SAGA, subject=order.pk)
    steps, compensations = tell(saga) if saga else ([], [])
    return {
        "order": order,
        "tone": TONES[Order.State(order.state)],
        "lines": order.lines.select_related("product", "order"),
        "saga": saga,
        "saga_tone": SAGA_TONES[Saga.State(saga.state)] if saga else "",
        "steps": steps,
        "compensations": compensations,
        "at": timezone.now(),
    }
