from django.apps import AppConfig


class ImagesConfig(AppConfig):
    name = "app.workload.images"
    label = "images"
