import json
import time
from argparse import ArgumentParser
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from app.engine.circuit_breaker.record import Record
from app.engine.circuit_breaker.shared_records import all_breakers, shared_records
from app.engine.conf import engine_settings
from app.engine.errors import EngineError

_LINE = "{:<32} {:<10} {:>8} {:>10} {:<20} {}"


class Command(BaseCommand):
    help = "List the circuit breakers that anything happened to within a week, or close one by hand."

    def add_arguments(self, parser: ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True, metavar="list | reset")
        listing = actions.add_parser("list", help="state, failures in a row, and when the next probe may leave")
        listing.add_argument("--json", action="store_true", help="for programs")
        reset = actions.add_parser("reset", help="close a breaker now; jobs that wait for it come when their delay is over")
        reset.add_argument("name")

    def handle(self, *args: Any, action: str, **options: Any) -> None:
        try:
            if action == "reset":
                self._reset(options["name"])
            else:
                self._list(is_json=options["json"])
        except EngineError as error:
            raise CommandError(str(error)) from error

    def _reset(self, name: str) -> None:
        if not shared_records().reset(name, time.time()):
            raise CommandError(f"No breaker {name!r} is known: it never failed within a week. `breakers list` shows names.")
        self.stdout.write(f"{name} is closed. Workers notice within a second.")

    def _list(self, *, is_json: bool) -> None:
        now = time.time()
        records = all_breakers(engine_settings())
        if is_json:
            self.stdout.write(json.dumps([document_of(record, now) for record in records], indent=2))
            return
        if not records:
            self.stdout.write("No breaker has counted a failure within a week.")
            return
        self.stdout.write(_LINE.format("breaker", "state", "failures", "probe in", "changed (UTC)", "latest failure").rstrip())
        for record in records:
            state = record.state(now)
            left = "-" if state == "closed" else f"{record.seconds_left(now):.0f} s"
            changed = _moment(record.changed_at)[:19].replace("T", " ")
            self.stdout.write(_LINE.format(record.name, state, record.failures, left, changed, record.reason[:100]).rstrip())


def document_of(record: Record, now: float) -> dict[str, Any]:
    return {
        "name": record.name,
        "state": record.state(now),
        "failures": record.failures,
        "openings": record.openings,
        "seconds_left": round(record.seconds_left(now), 1),
        "changed_at": _moment(record.changed_at),
        "reason": record.reason,
    }


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
