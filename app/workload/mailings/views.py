"""Pages: for the staff of the shop, and one for whoever wants no more of our mail."""

import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeVar

from django.contrib.admin.views.decorators import staff_member_required
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods, require_safe

from app.engine.progress.reading import read, read_many
from app.workload.mailings import services
from app.workload.mailings.letters import read_unsubscribe_token
from app.workload.mailings.models import Campaign, Mail

_PER_PAGE = 50
_SHOWN_PROBLEMS = 50
V = TypeVar("V", bound=Callable[..., HttpResponse])
TONES = {
    Campaign.State.DRAFT: "idle",
    Campaign.State.RUNNING: "busy",
    Campaign.State.PAUSED: "warn",
    Campaign.State.FINISHED: "ok",
    Campaign.State.CANCELLED: "idle",
}


def _staff_only(view: V) -> V:
    return staff_member_required(view, login_url="login")


@require_safe
@_staff_only
def campaign_list(request: HttpRequest) -> HttpResponse:
    """All campaigns, newest first; ``?state=`` shows those of one state."""
    state = request.GET.get("state", "")
    campaigns = Campaign.objects.select_related("owner").order_by("-created_at", "-id")
    if state in Campaign.State.values:
        campaigns = campaigns.filter(state=state)
    else:
        state = ""
    page = Paginator(campaigns, _PER_PAGE).get_page(request.GET.get("page"))
    progress = read_many([campaign.work for campaign in page])
    rows = [(campaign, TONES[Campaign.State(campaign.state)], progress.get(campaign.work)) for campaign in page]
    return render(request, "mailings/list.html", {"page": page, "rows": rows, "state": state, "states": Campaign.State.choices})


@require_safe
@_staff_only
@never_cache
def campaign_detail(request: HttpRequest, campaign_id: uuid.UUID) -> HttpResponse:
    return render(request, "mailings/detail.html", _campaign(campaign_id))


@require_safe
@_staff_only
@never_cache
def campaign_live(request: HttpRequest, campaign_id: uuid.UUID) -> HttpResponse:
    """The part of a campaign's page that the page asks for again."""
    return render(request, "mailings/detail_live.html", _campaign(campaign_id) | {"is_refresh": True})


def _campaign(campaign_id: uuid.UUID) -> dict[str, Any]:
    campaign = get_object_or_404(Campaign.objects.select_related("owner"), pk=campaign_id)
    failed = [Mail.State.REFUSED, Mail.State.SKIPPED, Mail.State.UNCERTAIN]
    return {
        "campaign": campaign,
        "tone": TONES[Campaign.State(campaign.state)],
        "progress": read(campaign.work),
        "totals": services.totals_of(campaign),
        "problems": Mail.objects.filter(campaign=campaign, state__in=failed).order_by("-settled_at")[:_SHOWN_PROBLEMS],
        "now": datetime.now(UTC),
    }


@csrf_exempt  # RFC 8058: mail programs post here, and what allows it is the signature in the address
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def unsubscribe(request: HttpRequest, token: str) -> HttpResponse:
    """Ask, and on POST have no campaign write to the address that got this link. Links that we have not signed are not found."""
    mail_id = read_unsubscribe_token(token)
    if mail_id is None:
        return render(request, "mailings/unsubscribe.html", {"is_unknown": True}, status=404)
    if request.method == "POST":
        services.unsubscribe(mail_id)
        return render(request, "mailings/unsubscribe.html", {"is_done": True})
    return render(request, "mailings/unsubscribe.html", {})
