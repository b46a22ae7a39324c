from django.apps import AppConfig


class NotificationsConfig(AppConfig):
    name = "app.workload.notifications"
    label = "notifications"
