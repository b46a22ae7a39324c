"""``scripts/run``: the whole platform on this machine, in one terminal."""

import argparse
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from app.config.workload import PAGES
from app.topology import TOPOLOGY
from app.topology.naming import dead_letter_queue_name
from scripts.laptop.background import Background
from scripts.laptop.backing import Backing
from scripts.laptop.demo import DemoFailed, Shop, Story
from scripts.laptop.environment import REPOSITORY, VAR, Addresses, Secrets, application_environment
from scripts.laptop.journeys import JOURNEYS
from scripts.laptop.ports import Ports
from scripts.laptop.schema import OPERATOR, Schema
from scripts.laptop.services import Services
from scripts.laptop.session import Interrupted, Session, run_session
from scripts.laptop.terminal import Terminal

_HIGHEST_PORT = 65_535
_IDLE = timedelta(milliseconds=200)
_DEMO_WITHIN = timedelta(minutes=3)
#: Nothing is at work any more, and the queues are about to be forgotten: nobody has to give anything back.
_GRACE_AFTER_WORK = timedelta(milliseconds=500)
_EXPLANATION = """\
Runs the whole platform on this machine: every service of app/topology with the command that ECS uses, beside a simulated AWS, a
PostgreSQL, a payment gateway and a partner. Then it takes a shop through its morning, checks the books, and stays until Ctrl-C.
"""
_NOTES = """\
Everything is kept in var/: the database, secrets, mails, logs. The simulated AWS forgets its queues and tables when it ends while
PostgreSQL remembers: what was committed and not sent goes out at the next start, and the schedule takes up unfinished payments,
within about five minutes of it. Django's commands, in the environment of the running session: scripts/manage <command>.
A second clone may run at the same time; a second session in one clone is refused.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parse(arguments)
    return run_session(VAR, Terminal(), lambda session: _run(session, options))


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/run", description=_EXPLANATION, epilog=_NOTES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--once", action="store_true", help="end after the morning: exit code 0 if all went well, else 1")
    parser.add_argument("--clean", action="store_true", help="forget everything in var/ first: database, secrets, mails, logs")
    parser.add_argument("--port", type=_port, metavar="N", help="the web address's port (otherwise last time's, or 8000, or a free one)")
    return parser.parse_args(arguments)


def _port(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= _HIGHEST_PORT:
        raise argparse.ArgumentTypeError(f"expected 1 to 65535, got {text!r}")
    return int(text)


def _run(session: Session, options: argparse.Namespace) -> int:
    terminal = session.terminal
    began = time.monotonic()
    if options.clean:
        session.start_afresh()
    ports = Ports(VAR / "ports.json")
    own = Secrets.kept_in(VAR / "secrets.json")
    addresses = Addresses(
        web_port=ports.claim_exactly("web", options.port) if options.port else ports.claim("web", preferred=[8000]),
        aws_port=ports.claim("aws"),
        gateway_port=ports.claim("gateway"),
        partner_port=ports.claim("partner"),
    )
    session.record.address = addresses.web
    backing = Backing(session, addresses, REPOSITORY)
    backing.start()
    environment = application_environment(var=VAR, addresses=addresses, database=backing.database(), own=own)
    schema = Schema(session, cluster=backing.cluster, repository=REPOSITORY, environment=environment)
    schema.migrate()
    services = Services(
        session,
        TOPOLOGY.services,
        environment=environment,
        web=addresses.web,
        repository=REPOSITORY,
        is_patient=not options.once,
    )
    services.start_web()
    backing.wait_until_provisioned()
    services.start()
    schema.begin_accounts(own)
    services.wait_until_healthy()
    shop = Shop(
        web=addresses.web,
        gateway=addresses.gateway,
        partner=addresses.partner,
        token=schema.token(),
        mail_directory=VAR / "mail",
        environment=environment | {"SERVICE": "shell"},
        repository=REPOSITORY,
    )
    terminal.say(f"{len(TOPOLOGY.services)} services are healthy after {time.monotonic() - began:.1f} s.")
    stories = [_tell(session, shop, journey) for journey in JOURNEYS]
    is_well = _sum_up(terminal, environment, stories)
    if options.once:
        session.services_grace = _GRACE_AFTER_WORK
        return 0 if is_well else 1
    _tell_addresses(terminal, addresses, own)
    try:
        while True:
            session.look()
            time.sleep(_IDLE.total_seconds())
    except Interrupted:
        return 0 if is_well else 1


@dataclass(frozen=True, kw_only=True, slots=True)
class _Told:
    """What a journey came to, for the table at the end."""

    part: str
    cases: int = 0
    checked: int = 0
    problems: int = 1
    seconds: float


def _tell(session: Session, shop: Shop, journey: Callable[[Shop], Story]) -> _Told:
    """Go one journey and print its story."""
    terminal = session.terminal
    began = time.monotonic()
    under_way = Background("demo", lambda: journey(shop))
    session.wait_until(lambda: under_way.is_done, lambda: shop.doing, _DEMO_WITHIN)
    seconds = time.monotonic() - began
    try:
        story = under_way.result()
    except DemoFailed as error:
        terminal.say(f"The demo failed. {error}")
        return _Told(part=journey.__name__, seconds=seconds)
    terminal.say()
    terminal.table(story.title, story.columns, story.rows, story.right)
    for claim in story.problems or story.proven:
        terminal.say(f"  {'✗' if story.problems else '✓'} {claim}")
    return _Told(part=story.title, cases=len(story.rows), checked=story.checked, problems=len(story.problems), seconds=seconds)


def _count_dead_letters(environment: Mapping[str, str]) -> int:
    """Of all queues, as the simulated SQS counts them now."""
    import boto3  # not before it is needed: everything else starts meanwhile

    sqs = boto3.client(
        "sqs",
        endpoint_url=environment["AWS_ENDPOINT_URL"],
        region_name=environment["AWS_REGION"],
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
    )
    counted: list[Literal["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]] = [
        "ApproximateNumberOfMessages",
        "ApproximateNumberOfMessagesNotVisible",
    ]
    urls = [
        sqs.get_queue_url(QueueName=dead_letter_queue_name(environment["NAME_PREFIX"], queue.name))["QueueUrl"] for queue in TOPOLOGY.queues
    ]
    answers = [sqs.get_queue_attributes(QueueUrl=url, AttributeNames=counted)["Attributes"] for url in urls]
    return sum(int(answer[name]) for answer in answers for name in counted)


def _sum_up(terminal: Terminal, environment: Mapping[str, str], stories: Sequence[_Told]) -> bool:
    """Print what happened in all, and say whether everything was as it must be."""
    if not stories:
        return True
    rows = [
        (told.part, str(told.cases), str(told.checked), str(told.problems), "✗" if told.problems else "✓", f"{told.seconds:.1f} s")
        for told in stories
    ]
    terminal.say()
    numbers = frozenset({"cases", "checked", "problems", "took"})
    terminal.table("The whole morning", ("part", "cases", "checked", "problems", "well", "took"), rows, numbers)
    letters = _count_dead_letters(environment)
    terminal.say(
        f"  {'✗' if letters else '✓'} {letters or 'no'} dead letters{': scripts/manage dead_letters list says why' if letters else ''}"
    )
    return letters == 0 and not any(told.problems for told in stories)


def _tell_addresses(terminal: Terminal, addresses: Addresses, own: Secrets) -> None:
    places = {
        "Console": f"{addresses.web}/console/",
        **{_title(mount): f"{addresses.web}/{mount}" for mount in PAGES},
        "API": f"{addresses.web}/api/docs",
        "Log in as": f"{OPERATOR}, password {own.console_password}",
        "API token": f"in {VAR / 'api-token'}",
        "Logs": str(VAR / "log"),
    }
    width = max(map(len, places))
    lines = "\n".join(f"  {name:<{width}}  {place}" for name, place in places.items())
    terminal.say(f"\n{lines}\n\nCtrl-C ends everything.")


def _title(mount: str) -> str:
    """``book-loans/`` is "Book loans"."""
    return mount.strip("/").replace("-", " ").capitalize()


if __name__ == "__main__":
    sys.exit(main())
