from django.urls import path

from app.workload.mailings import views

app_name = "mailings"
urlpatterns = [
    path("", views.campaign_list, name="list"),
    path("<uuid:campaign_id>/", views.campaign_detail, name="detail"),
    path("<uuid:campaign_id>/live/", views.campaign_live, name="live"),
    path("unsubscribe/<str:token>/", views.unsubscribe, name="unsubscribe"),
]
