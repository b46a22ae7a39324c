from django.urls import path

from app.workload.reports import views

app_name = "reports"
urlpatterns = [
    path("", views.report_list, name="list"),
    path("<uuid:report_id>/", views.report_detail, name="detail"),
    path("<uuid:report_id>/live/", views.report_live, name="live"),
    path("<uuid:report_id>/<slug:kind>/", views.report_file, name="file"),
]
