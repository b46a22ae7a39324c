import json
from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from app.engine.schedules.errors import ScheduleRefused
from app.engine.schedules.missed import Missed
from app.engine.schedules.periodic_tasks import create_periodic_task, read_crontab


class Command(BaseCommand):
    help = "Have beat send a task on a schedule. The entry of that name is made, or updated; twice, it is there once."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", help="of the entry")
        parser.add_argument("task", help="its name, such as engine.debug_task")
        when = parser.add_mutually_exclusive_group(required=True)
        when.add_argument("--every", type=int, metavar="SECONDS", help="how often")
        when.add_argument("--crontab", metavar="'M H DOM MON DOW'", help="five fields, such as '0 8 * * mon-fri'")
        parser.add_argument("--timezone", default="UTC", help="on whose clock the crontab is read (default: %(default)s)")
        parser.add_argument("--args", dest="positional", default="[]", metavar="JSON", help="a list (default: %(default)s)")
        parser.add_argument("--kwargs", dest="keywords", default="{}", metavar="JSON", help="an object (default: %(default)s)")
        parser.add_argument("--missed", choices=[each.value for each in Missed], default=Missed.ONE.value, help="due times without a beat")
        switch = parser.add_mutually_exclusive_group()
        switch.add_argument("--on", dest="enabled", action="store_true", default=None, help="switch it on")
        switch.add_argument("--off", dest="enabled", action="store_false", help="switch it off")

    def handle(self, *args: Any, name: str, task: str, **options: Any) -> None:
        try:
            every, text = options["every"], options["crontab"]
            schedule = read_crontab(text, options["timezone"]) if every is None else _interval(every)
            change = create_periodic_task(
                name,
                task,
                schedule,
                _json("--args", options["positional"], list),
                _json("--kwargs", options["keywords"], dict),
                missed=Missed(options["missed"]),
                enabled=options["enabled"],
            )
        except ScheduleRefused as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{change} {name}: python -m app.manage schedule shows when it is due")


def _interval(seconds: int) -> timedelta:
    try:
        return timedelta(seconds=seconds)
    except OverflowError as error:
        raise CommandError(f"--every {seconds} is too long.") from error


def _json(option: str, text: str, kind: type) -> Any:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise CommandError(f"{option} is not JSON: {error}.") from error
    if not isinstance(found, kind):
        raise CommandError(f"{option} must be a JSON {'list' if kind is list else 'object'}, got {text[:100]}.")
    return found
