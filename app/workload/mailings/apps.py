from django.apps import AppConfig


class MailingsConfig(AppConfig):
    name = "app.workload.mailings"
    label = "mailings"
