"""The application's addresses, and those of the exercises."""

from django.urls import path
from ninja import NinjaAPI

from app.api.problems import install_problem_handlers
from app.api.tokens import TokenAuthentication
from app.config import urls

exercises = NinjaAPI(title="Exercises", auth=TokenAuthentication(), urls_namespace="exercises", docs_url=None, openapi_url=None)
install_problem_handlers(exercises)
exercises.add_router("", "scripts.rehearsal.exercises.api.router")

urlpatterns = [path("exercises/", exercises.urls), *urls.urlpatterns]
