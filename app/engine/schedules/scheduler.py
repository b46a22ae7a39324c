"""Beat's scheduler."""

from typing import Any

from django_celery_beat.models import PeriodicTask, PeriodicTasks
from django_celery_beat.schedulers import DatabaseScheduler

from app.engine.conf import engine_settings
from app.engine.pulse import beat_pulse

#: Marks the rows that the code declares.
DECLARED = "Declared in app/config/schedule.py: edit it there."


class Scheduler(DatabaseScheduler):
    """django-celery-beat's scheduler, with a pulse at each turn of its loop."""

    #: Also how soon an edit in the admin is seen.
    max_interval = 5

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["max_interval"] = self.max_interval
        super().__init__(*args, **kwargs)

    def setup_schedule(self) -> None:
        super().setup_schedule()
        declared = PeriodicTask.objects.filter(name__in=self.app.conf.beat_schedule)
        declared.exclude(description=DECLARED).update(description=DECLARED)
        # What is declared no longer must not go on; what a person made in the admin must.
        gone = PeriodicTask.objects.filter(description=DECLARED).exclude(name__in=self.app.conf.beat_schedule)
        if gone.delete()[0]:
            PeriodicTasks.update_changed()

    def install_default_entries(self, data: Any) -> None:
        """None: the one that Celery knows cleans results, which DynamoDB does by itself."""

    def tick(self, *args: Any, **kwargs: Any) -> float:
        beat_pulse(engine_settings())
        wait: float = super().tick(*args, **kwargs)
        return wait
