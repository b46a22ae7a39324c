import getpass
import uuid
from argparse import ArgumentParser
from datetime import UTC, datetime
from socket import gethostname
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from app.engine.sagas import conductor
from app.engine.sagas.errors import SagaNotStuck
from app.engine.sagas.models import Act, Saga

_SAGA = "{:<36}  {:<12} {:<24} {:<36} {:<20} {}"
_ACT = "{:<12} {:<20} {:<10} {:>8}  {:<20} {:<20} {}"


class Command(BaseCommand):
    help = "Sagas: list them, show the steps of one, try again what is stuck."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True, metavar="list | show | resume")
        listing = actions.add_parser("list", help="the latest, or those of one state")
        listing.add_argument("--state", choices=Saga.State.values)
        listing.add_argument("--name", help="such as orders.fulfil")
        listing.add_argument("--limit", type=int, default=50, help="how many (default: %(default)s)")
        show = actions.add_parser("show", help="every step and compensation, with times and errors")
        resume = actions.add_parser("resume", help="publish at once the compensations that have failed or wait to be tried again")
        resume.add_argument("--by", default=f"{getpass.getuser()}@{gethostname()}", help="who is responsible (default: %(default)s)")
        for one in (show, resume):
            one.add_argument("id", type=uuid.UUID)

    def handle(self, *args: Any, action: str, **options: Any) -> None:
        if action == "list":
            self._list(options)
            return
        saga = Saga.objects.filter(pk=options["id"]).first()
        if saga is None:
            raise CommandError(
                f"There is no saga {options['id']}. `sagas list` shows the latest; they are kept for 90 days after their end."
            )
        if action == "show":
            self._show(saga)
            return
        try:
            count = conductor.resume(saga.pk, by=options["by"])
        except SagaNotStuck as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{count} compensations of {saga} are tried again.")

    def _list(self, options: dict[str, Any]) -> None:
        wanted = {name: options[name] for name in ("state", "name") if options[name]}
        self.stdout.write(_SAGA.format("ID", "STATE", "NAME", "SUBJECT", "STARTED (UTC)", "REASON"))
        for saga in Saga.objects.filter(**wanted).order_by("-created_at")[: options["limit"]]:
            self.stdout.write(
                _SAGA.format(str(saga.pk), saga.state, saga.name, saga.subject, _moment(saga.created_at), saga.reason).rstrip()
            )

    def _show(self, saga: Saga) -> None:
        self.stdout.write(f"{saga} is {saga.state}")
        if saga.reason:
            self.stdout.write(f"{saga.failed_step}: {saga.reason} ({saga.code})")
        self.stdout.write(_ACT.format("KIND", "NAME", "STATE", "ATTEMPTS", "STARTED (UTC)", "FINISHED (UTC)", "JOB, ERROR"))
        for act in Act.objects.filter(saga=saga).order_by("id"):
            told = " ".join(part for part in (act.task_id, act.error) if part)
            times = (_moment(act.started_at), _moment(act.finished_at))
            self.stdout.write(_ACT.format(act.kind, act.name, act.state, act.attempts, *times, told).rstrip())


def _moment(moment: datetime | None) -> str:
    return "" if moment is None else f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
