from django.urls import path

from app.console.views import overview

app_name = "console"

urlpatterns = [
    path("", overview.overview, name="overview"),
    path("live/", overview.overview_live, name="overview-live"),
]
