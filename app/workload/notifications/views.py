"""The page for the staff of the shop."""

from collections.abc import Callable
from typing import TypeVar

from django.contrib.admin.views.decorators import staff_member_required
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from app.workload.notifications.models import Notification

_PER_PAGE = 50
V = TypeVar("V", bound=Callable[..., HttpResponse])
#: How far the mail is → modifier of the badge's class.
_TONES = {
    Notification.Mailing.NONE: "idle",
    Notification.Mailing.DUE: "busy",
    Notification.Mailing.MAILED: "ok",
    Notification.Mailing.UNMAILED: "bad",
}
_WORDS = {
    Notification.Mailing.NONE: "no mail",
    Notification.Mailing.DUE: "mail is due",
    Notification.Mailing.MAILED: "mailed",
    Notification.Mailing.UNMAILED: "not mailed",
}


def _staff_only(view: V) -> V:
    return staff_member_required(view, login_url="login")


@require_safe
@_staff_only
def notification_list(request: HttpRequest) -> HttpResponse:
    """What people were told, newest first; ``?mailing=`` shows those whose mail is that far."""
    mailing = request.GET.get("mailing", "")
    notifications = Notification.objects.select_related("user").order_by("-created_at", "-id")
    if mailing in Notification.Mailing.values:
        notifications = notifications.filter(mailing=mailing)
    else:
        mailing = ""
    page = Paginator(notifications, _PER_PAGE).get_page(request.GET.get("page"))
    rows = [(one, _TONES[Notification.Mailing(one.mailing)], _WORDS[Notification.Mailing(one.mailing)]) for one in page]
    choices = [(value.value, word) for value, word in _WORDS.items()]
    return render(request, "notifications/list.html", {"page": page, "rows": rows, "mailing": mailing, "choices": choices})
