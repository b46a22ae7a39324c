from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules


class ConfigConfig(AppConfig):
    """Makes our Celery application the current one, in web, workers, beat, shell and tests alike, and finds the tasks."""

    name = "app.config"
    label = "config"

    def ready(self) -> None:
        from app.config import celery  # noqa: F401 — binds @shared_task to our application

        autodiscover_modules("tasks")
