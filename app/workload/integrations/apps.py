from django.apps import AppConfig


class IntegrationsConfig(AppConfig):
    name = "app.workload.integrations"
    label = "integrations"
