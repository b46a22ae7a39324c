from django.apps import AppConfig


class HousekeepingConfig(AppConfig):
    name = "app.workload.housekeeping"
    label = "housekeeping"
