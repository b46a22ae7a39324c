"""``python -m app.manage celery status``: Celery's command line with Django and its settings in place, as on a laptop."""

from argparse import REMAINDER
from typing import Any

from celery import current_app
from click import ClickException
from django.core.management.base import BaseCommand, CommandError, CommandParser


class Command(BaseCommand):
    help = "Celery's own command line: celery status, celery inspect active, celery control pause_queue NAME."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("arguments", nargs=REMAINDER, metavar="...", help="what Celery is told; --help shows everything")

    def handle(self, *_: Any, arguments: list[str], **__: Any) -> None:
        try:
            status = current_app.start(arguments)
        except ClickException as error:
            raise CommandError(error.format_message(), returncode=error.exit_code) from error
        if status:
            raise SystemExit(status)
