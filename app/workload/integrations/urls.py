from django.urls import path

from app.workload.integrations import views

app_name = "integrations"
urlpatterns = [
    path("", views.call_list, name="list"),
    path("users/", views.user_list, name="users"),
    path("<uuid:call_id>/", views.call_detail, name="detail"),
]
