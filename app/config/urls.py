"""Every address: health, console, API, admin, and the pages of the workload."""

from django.contrib import admin
from django.contrib.admin.views.decorators import staff_member_required
from django.contrib.auth.views import LoginView, LogoutView
from django.urls import include, path
from django.views.generic import RedirectView
from ninja import NinjaAPI

from app.api.problems import install_problem_handlers
from app.api.rendering import UniformRenderer
from app.api.tokens import TokenAuthentication
from app.config import workload

_API_DESCRIPTION = """
Every call carries `Authorization: Bearer mr_…`; `python -m app.manage create_api_token <user> <name>` makes a token.
A POST may carry an `Idempotency-Key`: the same key with the same body gets the first answer again, with another body 422.
Errors are problem documents (RFC 9457). [Back to the console](/console/)
"""

api = NinjaAPI(
    description=_API_DESCRIPTION,
    title="Millrace",
    version="1",
    auth=TokenAuthentication(),
    renderer=UniformRenderer(),
    docs_decorator=staff_member_required(login_url="login"),
    urls_namespace="api",
)
install_problem_handlers(api)
api.add_router("/dead-letters", "app.console.api.dead_letters.router")
api.add_router("/jobs", "app.console.api.jobs.router")
api.add_router("/schedules", "app.console.api.schedules.router")
api.add_router("/workers", "app.console.api.workers.router")
for mount_point, router in workload.API_ROUTERS.items():
    api.add_router(mount_point, router)

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="console:overview"), name="home"),
    path("health/", include("app.engine.health.urls")),
    path("login/", LoginView.as_view(), name="login"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("console/", include("app.console.urls")),
    path("admin/", admin.site.urls),
    path("api/", api.urls),
    *(path(mount_point, include(urls)) for mount_point, urls in workload.PAGES.items()),
]
