from django.apps import AppConfig


class LimitsConfig(AppConfig):
    name = "app.engine.limits"
    label = "limits"
