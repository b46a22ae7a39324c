import json
from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from app.engine.aws.queue_depth import QueueDepth, read_queue_depths
from app.engine.conf import engine_settings
from app.engine.errors import EngineError

_LINE = "{:<20} {:>10} {:>10} {:>10} {:>10}  {}"


class Command(BaseCommand):
    help = "Count what waits in each queue, is held by workers, is delayed or dead, as SQS counts: approximately."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="for programs")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            depths = read_queue_depths(engine_settings())
        except EngineError as error:
            raise CommandError(str(error)) from error
        if options["json"]:
            self.stdout.write(json.dumps([document_of(depth) for depth in depths], indent=2))
            return
        self.stdout.write(_LINE.format("queue", "waiting", "held", "delayed", "dead", "oldest (up to 3 min late)"))
        for depth in depths:
            oldest = "-" if depth.oldest is None else str(timedelta(seconds=round(depth.oldest.total_seconds())))
            self.stdout.write(_LINE.format(depth.queue, depth.visible, depth.in_flight, depth.delayed, depth.dead, oldest))


def document_of(depth: QueueDepth) -> dict[str, Any]:
    return {
        "queue": depth.queue,
        "waiting": depth.visible,
        "held": depth.in_flight,
        "delayed": depth.delayed,
        "dead": depth.dead,
        "oldest_seconds": None if depth.oldest is None else depth.oldest.total_seconds(),
    }
