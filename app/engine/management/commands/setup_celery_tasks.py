from typing import Any

from celery import current_app
from django.core.management.base import BaseCommand

from app.engine.schedules.declared import install


class Command(BaseCommand):
    help = (
        "Install the schedules that app/config/schedule.py declares, and say what was done. Twice, it changes nothing. "
        "Beat does the same when it begins to lead; entries that operators made stay."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        done = install(current_app.conf.beat_schedule)
        for name, change in sorted(done.changes.items()):
            off = "  (switched off by an operator: it stays off)" if name in done.off else ""
            self.stdout.write(f"{change:<10} {name}{off}")
        for name in done.removed:
            self.stdout.write(f"{'removed':<10} {name}")
