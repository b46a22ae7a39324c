"""Pages for the staff of the shop."""

import uuid
from collections.abc import Callable
from typing import TypeVar

from django.contrib.admin.views.decorators import staff_member_required
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from app.workload.payments.models import BalanceEntry, Payment, Posting, Refund
from app.workload.payments.story import REFUND_TONES, TONES, tell

_PER_PAGE = 50
V = TypeVar("V", bound=Callable[..., HttpResponse])


def _staff_only(view: V) -> V:
    return staff_member_required(view, login_url="login")


@require_safe
@_staff_only
def payment_list(request: HttpRequest) -> HttpResponse:
    """All payments, newest first; ``?state=`` shows those of one state."""
    state = request.GET.get("state", "")
    payments = Payment.objects.select_related("owner", "refund").order_by("-created_at", "-id")
    if state in Payment.State.values:
        payments = payments.filter(state=state)
    else:
        state = ""
    page = Paginator(payments, _PER_PAGE).get_page(request.GET.get("page"))
    rows = [(payment, TONES[Payment.State(payment.state)], getattr(payment, "refund", None)) for payment in page]
    return render(request, "payments/list.html", {"page": page, "rows": rows, "state": state, "states": Payment.State.choices})


@require_safe
@_staff_only
def payment_detail(request: HttpRequest, payment_id: uuid.UUID) -> HttpResponse:
    payment = get_object_or_404(Payment.objects.select_related("owner"), pk=payment_id)
    entry = BalanceEntry.objects.filter(payment=payment, kind=Posting.Kind.CAPTURE).first()
    refund = Refund.objects.filter(payment=payment).first()
    told = {
        "payment": payment,
        "tone": TONES[Payment.State(payment.state)],
        "story": tell(payment, entry, refund),
        "refund": refund,
        "refund_tone": REFUND_TONES[Refund.State(refund.state)] if refund else "",
        "postings": payment.postings.prefetch_related("lines").order_by("id"),
    }
    return render(request, "payments/detail.html", told)
