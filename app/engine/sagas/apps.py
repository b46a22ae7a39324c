from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules


class SagasConfig(AppConfig):
    """Finds what the apps declare in their ``sagas`` modules."""

    name = "app.engine.sagas"
    label = "sagas"

    def ready(self) -> None:
        autodiscover_modules("sagas")
