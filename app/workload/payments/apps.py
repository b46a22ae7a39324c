from django.apps import AppConfig


class PaymentsConfig(AppConfig):
    name = "app.workload.payments"
    label = "payments"
