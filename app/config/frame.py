"""What every page shows around its content."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest
from django.urls import reverse

from app.config import workload
from app.engine.conf import engine_settings


@dataclass(frozen=True, kw_only=True, slots=True)
class NavigationEntry:
    label: str
    url: str
    is_current: bool


def navigation(request: HttpRequest) -> dict[str, Any]:
    """Context processor: the sections and the name of the deployment, for staff only. Others get nothing."""
    user = getattr(request, "user", None)
    if user is None or not (user.is_active and user.is_staff):
        return {}
    settings = engine_settings()
    return {
        "navigation": [
            NavigationEntry(label=label, url=url, is_current=request.path.startswith(root))
            for label, url, root in _sections(reverse("home"))
        ],
        "environment": settings.name_prefix,
        "release": settings.release,
    }


def _sections(home: str) -> Iterable[tuple[str, str, str]]:
    """Label, address, and how the addresses of its pages begin."""
    overview = reverse("console:overview")
    yield "Overview", overview, overview
    for mount_point in workload.PAGES:
        label = mount_point.strip("/").replace("-", " ").replace("_", " ").capitalize()
        yield label, home + mount_point, home + mount_point
    docs = reverse("api:openapi-view")
    yield "API", docs, docs
    admin = reverse("admin:index")
    yield "Admin", admin, admin
