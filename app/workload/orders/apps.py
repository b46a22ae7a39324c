from django.apps import AppConfig


class OrdersConfig(AppConfig):
    name = "app.workload.orders"
    label = "orders"
