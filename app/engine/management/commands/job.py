import json
from argparse import ArgumentParser
from datetime import UTC, datetime, timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from app.engine.conf import engine_settings
from app.engine.errors import EngineError
from app.engine.jobs.errors import AbsurdJobId
from app.engine.jobs.whereabouts import Whereabouts, find_job

#: Exit statuses beside 0.
NEVER_ENQUEUED, ABSURD, NOT_CERTAIN = 1, 2, 3
_LINE = "{:<14} {}"


class Command(BaseCommand):
    help = (
        "Say where a job is, by its id: from the outbox to its end. "
        "Exit status 0 if it is known, 1 if it was never enqueued here, 2 for an absurd id, 3 if that is not certain."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("id", help="the task id that delay() returned")
        parser.add_argument("--json", action="store_true", help="for programs")

    def handle(self, *args: Any, **options: Any) -> None:
        settings = engine_settings()
        try:
            found = find_job(settings, options["id"])
        except AbsurdJobId as error:
            raise CommandError(str(error), returncode=ABSURD) from error
        except EngineError as error:
            raise CommandError(f"Not certain: {error}", returncode=NOT_CERTAIN) from error
        if options["json"]:
            self.stdout.write(json.dumps(found.as_document(), indent=2, ensure_ascii=False))
        else:
            self._tell(found, settings.result_ttl)
        if found.state is None:
            raise CommandError(_absence(found, settings.result_ttl), returncode=NEVER_ENQUEUED)

    def _tell(self, found: Whereabouts, kept: timedelta) -> None:
        if found.state is None:
            return
        self.stdout.write(_LINE.format(found.state, found.reason).rstrip())
        for label, value in _lines(found):
            if value not in ("", None):
                self.stdout.write(_LINE.format(label, value))


def _absence(found: Whereabouts, kept: timedelta) -> str:
    if found.reason != "never enqueued here":
        return f"{found.id} was not enqueued: {found.reason}"
    return (
        f"{found.id} was never enqueued here. Records are kept for {kept.total_seconds() / 3600:g} hours: an older job is not known any more. "
        "Nor is one whose producer was killed while it sent it, until a worker receives it."
    )


def _lines(found: Whereabouts) -> list[tuple[str, Any]]:
    queueing = found.queueing
    return [
        ("task", found.task),
        ("queue", found.queue),
        ("tenant", found.tenant),
        ("attempt", found.attempts),
        ("receives", found.receives),
        ("sent back", found.redrives),
        ("worker", f"{found.worker} ({found.release})" if found.release else found.worker),
        ("enqueued", _moment(found.enqueued_at) + (f" by {found.origin}" if found.origin else "")),
        ("due", _moment(found.due_at)),
        ("started", _moment(found.started_at)),
        ("finished", _moment(found.finished_at)),
        ("ran", "" if found.run_seconds is None else f"{found.run_seconds:g} s"),
        (
            "progress",
            "" if found.progress is None else f"{found.progress['state']} {json.dumps(found.progress['meta'], ensure_ascii=False)}",
        ),
        ("position", "" if queueing is None else f"at most {queueing.position:,}, approximately"),
        ("wait", "" if queueing is None else _wait(queueing.wait, queueing.per_minute)),
        ("error", found.error),
        ("fingerprint", found.fingerprint),
        ("dead letter", found.dead_letter),
        ("waits for", found.waits_for),
        ("parent", found.parent),
        ("root", found.root),
        ("group", found.group),
    ]


def _wait(wait: timedelta | None, per_minute: float | None) -> str:
    if wait is None:
        return "not known: no job of its queue has ended lately"
    return f"some {timedelta(seconds=round(wait.total_seconds()))} at the {per_minute:g} jobs a minute of late"


def _moment(moment: datetime | None) -> str:
    return "" if moment is None else f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
