from django.apps import AppConfig


class SchedulesConfig(AppConfig):
    name = "app.engine.schedules"
    label = "schedules"
