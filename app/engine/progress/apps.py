from django.apps import AppConfig


class ProgressConfig(AppConfig):
    name = "app.engine.progress"
    label = "progress"
