"""Beat's scheduler."""

from typing import Any

from django_celery_beat.schedulers import DatabaseScheduler

from app.engine.conf import engine_settings
from app.engine.pulse import beat_pulse


class Scheduler(DatabaseScheduler):
    """django-celery-beat's scheduler, with a pulse at each turn of its loop."""

    #: Also how soon an edit in the admin is seen.
    max_interval = 5

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["max_interval"] = self.max_interval
        super().__init__(*args, **kwargs)

    def tick(self, *args: Any, **kwargs: Any) -> float:
        beat_pulse(engine_settings())
        wait: float = super().tick(*args, **kwargs)
        return wait
