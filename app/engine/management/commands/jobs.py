import json
from argparse import ArgumentParser, ArgumentTypeError
from datetime import UTC, datetime, timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils.dateparse import parse_datetime, parse_duration

from app.engine.conf import engine_settings
from app.engine.errors import EngineError
from app.engine.jobs.search import SEARCHABLE, FoundJob, Place, Wanted, find_jobs
from app.engine.jobs.states import JobState

_LINE = "{:<19}  {:<9}  {:<36}  {}"


class Command(BaseCommand):
    help = "List jobs, the newest first: those that fit all that is asked for."

    def add_arguments(self, parser: ArgumentParser) -> None:
        states = ", ".join(SEARCHABLE)
        parser.add_argument("--state", type=JobState, choices=list(JobState), metavar="STATE", help=f"{states}; any with --tenant")
        parser.add_argument("--task", help="a task's name")
        parser.add_argument("--queue", help="a queue's name")
        parser.add_argument("--tenant", help="for whom it was enqueued")
        parser.add_argument("--fingerprint", help="of a failure: those that are the same problem")
        parser.add_argument(
            "--since", type=since, help="a moment such as 2026-01-31T12:00, in UTC, or a duration such as 2:00:00 or '1 day'"
        )
        parser.add_argument("--limit", type=int, default=50, help="how many (default: %(default)s)")
        parser.add_argument("--json", action="store_true", help="one object a line, for programs")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["limit"] < 1:
            raise CommandError("--limit: expected 1 or more")
        wanted = Wanted(**{name: options[name] for name in ("state", "task", "queue", "tenant", "fingerprint", "since")})
        left, after, is_first = options["limit"], None, True
        try:
            while left > 0:
                page = find_jobs(engine_settings(), wanted, limit=left, after=after)
                for job in page.jobs:
                    self._tell(job, as_json=options["json"], is_first=is_first)
                    is_first = False
                left, after = left - len(page.jobs), page.next
                if after is None:
                    break
        except EngineError as error:
            raise CommandError(str(error)) from error
        self._end(options, is_empty=is_first, after=after)

    def _tell(self, job: FoundJob, *, as_json: bool, is_first: bool) -> None:
        if as_json:
            self.stdout.write(json.dumps(job.as_document(), ensure_ascii=False))
            return
        if is_first:
            self.stdout.write(_LINE.format("time (UTC)", "state", "id", "task"))
        where = ", ".join(filter(None, [job.queue, job.tenant and f"tenant {job.tenant}"]))
        self.stdout.write(_LINE.format(f"{job.at.astimezone(UTC):%Y-%m-%d %H:%M:%S}", job.state, job.id, f"{job.task} ({where})"))
        if job.error:
            self.stdout.write(f"  {job.fingerprint or '-':<12} {job.error}")

    def _end(self, options: dict[str, Any], *, is_empty: bool, after: Place | None) -> None:
        if options["json"]:
            return
        if is_empty:
            self.stdout.write("No such job.")
        elif after is not None:
            self.stdout.write(f"These are the newest {options['limit']}; --limit shows more.")


def since(text: str) -> datetime:
    """A moment, or a duration before now, as ``--since`` takes it."""
    try:
        if (moment := parse_datetime(text)) is not None:
            return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        if (duration := parse_duration(text)) is not None and duration > timedelta(0):
            return datetime.now(UTC) - duration
    except (ValueError, OverflowError) as error:
        raise ArgumentTypeError(f"expected a moment or a duration, got {text!r}: {error}") from error
    raise ArgumentTypeError(f"expected a moment such as 2026-01-31T12:00 or a duration such as 2:00:00 or '1 day', got {text!r}")
