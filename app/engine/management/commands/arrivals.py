import csv
from argparse import ArgumentParser
from itertools import islice
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from app.engine.conf import engine_settings
from app.engine.errors import EngineError
from app.engine.jobs.arrivals import arrivals
from app.engine.management.commands.jobs import since


class Command(BaseCommand):
    help = "Write when the jobs of a queue came and how long they ran, as CSV: for `python -m benchmarks.scaling --replay`."

    def add_arguments(self, parser: ArgumentParser) -> None:
        queues = [queue.name for queue in engine_settings().topology.queues]
        parser.add_argument("queue", choices=queues, metavar="queue", help=", ".join(queues))
        parser.add_argument(
            "--since", type=since, default="1 day", help="that ended since a moment, or within a duration (default: %(default)s)"
        )
        parser.add_argument("--limit", type=int, default=100_000, help="the latest so many (default: %(default)s)")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["limit"] < 1:
            raise CommandError("--limit: expected 1 or more")
        rows = csv.writer(self.stdout, lineterminator="\n")
        rows.writerow(("at", "run_seconds"))
        found = 0
        try:
            for arrival in islice(arrivals(engine_settings(), queue=options["queue"], since=options["since"]), options["limit"]):
                rows.writerow((f"{arrival.at.timestamp():.3f}", f"{arrival.run_seconds:.3f}"))
                found += 1
        except EngineError as error:
            raise CommandError(str(error)) from error
        if not found:
            raise CommandError(f"No job of {options['queue']} has ended since {options['since']:%Y-%m-%d %H:%M} UTC.")
        if found == options["limit"]:
            self.stderr.write(f"These are the latest {found}; --limit writes more.")
