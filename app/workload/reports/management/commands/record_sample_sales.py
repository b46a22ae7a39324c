from argparse import ArgumentParser
from datetime import UTC, datetime, timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from app.workload.reports.samples import DEPARTMENTS, record_samples

MOST_DAYS = 3660


class Command(BaseCommand):
    help = "Book sample sales, returns and expenses of three departments, up to yesterday, to have something to report about."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--rows", type=int, default=10_000, help="how many in all (default 10000)")
        parser.add_argument("--days", type=int, default=30, help="over how many days up to yesterday (default 30)")

    def handle(self, *args: Any, **options: Any) -> None:
        rows, days = options["rows"], options["days"]
        if rows < 1 or not 1 <= days <= MOST_DAYS:
            raise CommandError(f"Expected at least one row, and 1 to {MOST_DAYS} days; got {rows} rows and {days} days.")
        first_day = datetime.now(UTC).date() - timedelta(days=days)
        record_samples(rows=rows, first_day=first_day, days=days)
        self.stdout.write(f"Booked {rows:,} rows from {first_day} on, for {', '.join(DEPARTMENTS)}.")
