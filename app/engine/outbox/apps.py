from django.apps import AppConfig


class OutboxConfig(AppConfig):
    name = "app.engine.outbox"
    label = "outbox"
