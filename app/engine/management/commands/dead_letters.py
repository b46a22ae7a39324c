import getpass
import json
import re
import signal
import time
from argparse import ArgumentParser
from datetime import UTC, datetime, timedelta
from socket import gethostname
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from app.engine.conf import EngineSettings, engine_settings
from app.engine.dead_letters.desk import Desk
from app.engine.dead_letters.groups import grouped
from app.engine.dead_letters.index import Index
from app.engine.dead_letters.letter import DeadLetter, State, moment
from app.engine.dead_letters.listing import latest, open_letters
from app.engine.dead_letters.order import FASTEST_PER_SECOND, SLOWEST_PER_SECOND, Action, Order, Report
from app.engine.dead_letters.selection import NothingSelected, Selection, select
from app.engine.errors import EngineError

_LETTER = "{:<19}  {:<14} {:<32} {:<28} {}"
_GROUP = "{:<12}  {:>6}  {:<32} {:<28} {:<19}  {}"
_AGO = re.compile(r"(\d+)([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def _moment(text: str) -> float:
    """``2h`` is two hours ago; anything else is ISO 8601, in UTC unless it says otherwise."""
    if ago := _AGO.fullmatch(text):
        return time.time() - timedelta(**{_UNITS[ago[2]]: int(ago[1])}).total_seconds()
    told = datetime.fromisoformat(text)
    return (told if told.tzinfo else told.replace(tzinfo=UTC)).timestamp()


def _rate(text: str) -> float:
    rate = float(text)
    if not SLOWEST_PER_SECOND <= rate <= FASTEST_PER_SECOND:
        raise ValueError(text)
    return rate


class Command(BaseCommand):
    help = "What could not be done: list it, group it by cause, send it back, discard it."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True, metavar="list | groups | show | redrive | discard")
        listing = actions.add_parser("list", help="the letters, the latest first")
        listing.add_argument("--state", choices=[str(state) for state in State], help="those that are over, too: redriven, discarded, gone")
        listing.add_argument("--limit", type=int, default=50, help="how many (default: %(default)s)")
        groups = actions.add_parser("groups", help="one line a problem: how many, since when")
        show = actions.add_parser("show", help="everything that is known of one letter, and of its job's earlier deaths")
        show.add_argument("id")
        redrive = actions.add_parser("redrive", help="send letters back to the queue where they died")
        redrive.add_argument("--rate", type=_rate, default=0.0, help="messages a second (default: as fast as it goes)")
        discard = actions.add_parser("discard", help="delete letters for good; the record of it stays")
        for acting in (redrive, discard):
            acting.add_argument("ids", nargs="*", metavar="ID")
            acting.add_argument("--all", action="store_true", dest="is_all", help="every dead letter")
            acting.add_argument("--dry-run", action="store_true", help="only say which")
            acting.add_argument("--by", default=f"{getpass.getuser()}@{gethostname()}", help="who is responsible (default: %(default)s)")
        for selecting in (listing, groups, redrive, discard):
            selecting.add_argument("--queue", default="")
            selecting.add_argument("--fingerprint", default="")
            selecting.add_argument("--task", default="")
            selecting.add_argument("--tenant", default="")
            selecting.add_argument("--reason", default="")
            selecting.add_argument("--since", type=_moment, default=0.0, help="died then or later: 2h (ago), or 2026-11-26T03:00")
            selecting.add_argument("--before", type=_moment, default=0.0, help="died before that")
        for each in (listing, groups, show, redrive, discard):
            each.add_argument("--json", action="store_true", help="for programs")

    def handle(self, *args: Any, action: str, **options: Any) -> None:
        settings = engine_settings()
        if (queue := options.get("queue")) and queue not in {policy.name for policy in settings.topology.queues}:
            raise CommandError(f"There is no queue {queue!r}. The queues are {', '.join(each.name for each in settings.topology.queues)}.")
        try:
            getattr(self, f"_{action}")(settings, **options)
        except NothingSelected as error:
            raise CommandError(f"{error} That is --all.") from error
        except EngineError as error:
            raise CommandError(str(error)) from error

    # -- looking ------------------------------------------------------------------------------------------------------------

    def _list(self, settings: EngineSettings, /, *, state: str | None, limit: int, **options: Any) -> None:
        selection = _selection(options)
        letters = latest(settings, selection, state=State(state or State.DEAD), limit=limit + 1)
        if options["json"]:
            self._print([letter.as_json() for letter in letters[:limit]])
            return
        if not letters:
            self.stdout.write("Nothing is dead." if state is None else f"Nothing is {state}.")
            return
        self.stdout.write(_LETTER.format("died (UTC)", "queue", "task", "cause", "id and message").rstrip())
        for letter in letters[:limit]:
            self.stdout.write(
                _LETTER.format(_short(letter.died_at), letter.queue, letter.task or "?", letter.exception or letter.reason, letter.id)
            )
            self.stdout.write(f"{'':<21}{letter.message[:150]}{_told(letter)}".rstrip())
        if len(letters) > limit:
            self.stdout.write(f"These are the latest {limit}; --limit shows more, `groups` shows all by cause.")

    def _groups(self, settings: EngineSettings, /, **options: Any) -> None:
        selection = _selection(options)
        groups = grouped(letter for letter in open_letters(settings) if selection.fits(letter))
        if options["json"]:
            self._print([group.as_json() for group in groups])
            return
        if not groups:
            self.stdout.write("Nothing is dead.")
            return
        self.stdout.write(_GROUP.format("fingerprint", "count", "task", "cause", "first died (UTC)", "last died (UTC), queues"))
        for group in groups:
            first, last = _short(group.first_died_at), _short(group.last_died_at)
            cause, queues = group.exception or group.reason, ", ".join(sorted(group.queues))
            self.stdout.write(_GROUP.format(group.fingerprint, group.count, group.task or "?", cause, first, f"{last}, {queues}"))
            self.stdout.write(f"{'':<14}{group.message[:150]}".rstrip())

    def _show(self, settings: EngineSettings, /, *, id: str, **options: Any) -> None:  # noqa: A002 — as people call it
        letter = Index(settings).get(id)
        if letter is None:
            raise CommandError(f"No dead letter has the id {id!r}: there never was one, or it is forgotten. `dead_letters list` shows ids.")
        told = letter.as_json()
        if options["json"]:
            self._print(told)
            return
        lineage = told.pop("lineage", [])
        for name, value in told.items():
            self.stdout.write(f"{name + ':':<15} {value}")
        for redrive in lineage:
            self.stdout.write(f"sent back:      {redrive['at']} by {redrive['by']} {redrive['letter']}".rstrip())

    # -- acting -------------------------------------------------------------------------------------------------------------

    def _redrive(self, settings: EngineSettings, /, *, rate: float, **options: Any) -> None:
        self._carry_out(settings, Action.REDRIVE, rate, **options)

    def _discard(self, settings: EngineSettings, /, **options: Any) -> None:
        self._carry_out(settings, Action.DISCARD, 0.0, **options)

    def _carry_out(self, settings: EngineSettings, action: Action, rate: float, /, *, dry_run: bool, by: str, **options: Any) -> None:
        selection = _selection(options).check()
        if dry_run:
            queues = [queue.name for queue in settings.topology.queues]
            letters = list(select(Index(settings), queues, selection, now=time.time()))
            if options["json"]:
                self._print({"selected": len(letters), "groups": [group.as_json() for group in grouped(letters)]})
            else:
                self.stdout.write(f"{len(letters)} dead letter(s) would be {_DONE[action]}.")
            return
        stopped: list[int] = []
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda received, _frame: stopped.append(received))
        order = Order(action=action, selection=selection, by=by, rate=rate)
        desk = Desk(settings, order, is_stopped=lambda: bool(stopped), on_progress=lambda report: self._tell(report, **options))
        report = desk.carry_out()
        self._sum_up(action, report, **options)
        if report.refused or report.not_found or report.is_cut_off:
            raise SystemExit(1)

    def _tell(self, report: Report, **options: Any) -> None:
        if not options["json"] and options["verbosity"] > 1:
            self.stdout.write(f"{report.done + report.by_others} of {report.selected}")

    def _sum_up(self, action: Action, report: Report, **options: Any) -> None:
        if options["json"]:
            self._print(report.as_json())
            return
        self.stdout.write(f"{report.done} of {report.selected} dead letter(s) {_DONE[action]}.")
        if report.by_others:
            self.stdout.write(f"{report.by_others} were dealt with by somebody else meanwhile.")
        for letter, reason in report.refused.items():
            self.stdout.write(f"SQS does not take {letter} back: {reason}")
        if report.not_found:
            self.stdout.write(f"{len(report.not_found)} were not seen in their queue: somebody holds them, or they are gone. Try again.")
        if report.is_cut_off:
            self.stdout.write("Stopped. The same command goes on from here.")

    def _print(self, document: Any) -> None:
        self.stdout.write(json.dumps(document, indent=2))


_DONE = {Action.REDRIVE: "sent back", Action.DISCARD: "discarded"}


def _selection(options: dict[str, Any]) -> Selection:
    return Selection(
        ids=tuple(options.get("ids", ())),
        is_all=options.get("is_all", False),
        died_from=options["since"],
        died_before=options["before"],
        entered_before=time.time(),
        **{name: options[name] for name in ("queue", "fingerprint", "task", "tenant", "reason")},
    )


def _short(seconds: float) -> str:
    return moment(seconds)[:19].replace("T", " ")


def _told(letter: DeadLetter) -> str:
    parts = [f"sent back {letter.redrives} time(s) before"] if letter.redrives else []
    parts += [f"{letter.state} by {letter.by}"] if letter.by and letter.state is not State.DEAD else []
    parts += [letter.problem] if letter.problem else []
    return f"  ({'; '.join(parts)})" if parts else ""
