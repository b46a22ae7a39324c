from argparse import ArgumentParser
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand

from app.engine.schedules.models import Occurrence
from app.engine.schedules.report import EntryReport, read_entries, read_leader

_LINE = "{:<32} {:<7} {:<20} {:<8} {:<20} {:>7}  {}"
_OCCURRENCE = "{:<20} {:<8} {:>8}  {:<36}  {}"


class Command(BaseCommand):
    help = "List what beat sends: each entry with its last and its next due time, what was missed, and which beat leads."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("entry", nargs="?", help="the name of an entry: list its occurrences, the latest first")
        parser.add_argument("--limit", type=int, default=20, help="how many occurrences (default: %(default)s)")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["entry"] is not None:
            self._occurrences(options["entry"], options["limit"])
            return
        leader = read_leader()
        self.stdout.write(
            "No beat leads: nothing is sent."
            if leader is None
            else f"{leader.leader} leads since {_moment(leader.since)} UTC (fence {leader.fence})."
        )
        self.stdout.write(_LINE.format("entry", "missed:", "last due (UTC)", "was", "next due (UTC)", "missed", "task"))
        for entry in read_entries():
            self._entry(entry)

    def _entry(self, entry: EntryReport) -> None:
        following = "off" if not entry.is_enabled else _moment(entry.next_due)
        line = _LINE.format(
            entry.name, entry.missed.value, _moment(entry.last_due), entry.last_outcome, following, entry.missed_count, entry.task
        )
        self.stdout.write(line)
        if entry.problem:
            self.stdout.write(f"  {entry.problem}")

    def _occurrences(self, name: str, limit: int) -> None:
        self.stdout.write(_OCCURRENCE.format("due (UTC)", "was", "left out", "id", "reason"))
        for each in Occurrence.objects.filter(schedule=name).order_by("-due_at")[:limit]:
            self.stdout.write(_OCCURRENCE.format(_moment(each.due_at), each.outcome, each.left_out, each.task_id, each.reason).rstrip())


def _moment(moment: datetime | None) -> str:
    return "never" if moment is None else f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
