"""Pages for the staff of the shop."""

import uuid
from collections.abc import Callable
from typing import TypeVar

from django.contrib.admin.views.decorators import staff_member_required
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from app.workload.images.handing_out import thumbnail_response, thumbnails_of
from app.workload.images.models import Image

_PER_PAGE = 48
TONES = {
    Image.State.UPLOADING: "idle",
    Image.State.UPLOADED: "busy",
    Image.State.READY: "ok",
    Image.State.REFUSED: "bad",
}
V = TypeVar("V", bound=Callable[..., HttpResponseBase])


def _staff_only(view: V) -> V:
    return staff_member_required(view, login_url="login")


@require_safe
@_staff_only
def gallery(request: HttpRequest) -> HttpResponse:
    """All images, newest first; ``?state=`` shows those of one state."""
    state = request.GET.get("state", "")
    images = Image.objects.select_related("owner").order_by("-created_at", "-id")
    if state in Image.State.values:
        images = images.filter(state=state)
    else:
        state = ""
    page = Paginator(images, _PER_PAGE).get_page(request.GET.get("page"))
    cards = [(image, TONES[Image.State(image.state)]) for image in page]
    return render(request, "images/list.html", {"page": page, "cards": cards, "state": state, "states": Image.State.choices})


@require_safe
@_staff_only
def image_detail(request: HttpRequest, image_id: uuid.UUID) -> HttpResponse:
    image = get_object_or_404(Image.objects.select_related("owner"), pk=image_id)
    return render(
        request, "images/detail.html", {"image": image, "tone": TONES[Image.State(image.state)], "thumbnails": thumbnails_of(image)}
    )


@require_safe
@_staff_only
def thumbnail(request: HttpRequest, image_id: uuid.UUID, size: str) -> HttpResponseBase:  # noqa: ARG001 — Django passes it to each view
    response = thumbnail_response(get_object_or_404(Image, pk=image_id), size)
    if response is None:
        raise Http404
    return response
