from django.apps import AppConfig


class ReportsConfig(AppConfig):
    name = "app.workload.reports"
    label = "reports"
