from argparse import ArgumentParser
from datetime import UTC, timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from app.engine.outbox.delayed import cancel, delayed_jobs

_LINE = "{:<20} {:>18}  {:<36}  {}"


class Command(BaseCommand):
    help = "List the jobs that wait in the database until they are due, the soonest first, or cancel one of them."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--cancel", metavar="ID", help="the task id of the job that shall never run")
        parser.add_argument("--limit", type=int, default=100, help="how many to list (default: %(default)s)")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["cancel"] is not None:
            self._cancel(options["cancel"])
        else:
            self._list(options["limit"])

    def _cancel(self, task_id: str) -> None:
        if not cancel(task_id):
            raise CommandError(
                f"No delayed job has the id {task_id!r}: it was sent to its queue already (up to half a minute before it is due), "
                "it was cancelled, or there never was one."
            )
        self.stdout.write(f"{task_id} is cancelled and will not run.")

    def _list(self, limit: int) -> None:
        jobs = delayed_jobs(limit=limit)
        if not jobs:
            self.stdout.write("No job is delayed.")
            return
        now = timezone.now()
        self.stdout.write(_LINE.format("due (UTC)", "in", "id", "task"))
        for job in jobs:
            left = max(job.due_at - now, timedelta(0))
            self.stdout.write(
                _LINE.format(
                    f"{job.due_at.astimezone(UTC):%Y-%m-%d %H:%M:%S}", str(left).split(".")[0], job.task_id, f"{job.task} ({job.queue})"
                )
            )
        if len(jobs) == limit:
            self.stdout.write(f"These are the first {limit}; --limit shows more.")
