"""What an alarm tells a person to read exists, and names commands that exist."""

import re
from pathlib import Path

import boto3
import pytest
from botocore import xform_name
from celery.bin.celery import celery
from celery.worker.control import Panel
from django.core.management import get_commands, load_command_class

import app.engine.control.commands  # noqa: F401 — ours beside Celery's
from app.topology import TOPOLOGY
from scripts.cloud.commands import refusal_of
from scripts.cloud.operate import read_order
from tests.integration.docs.operated import OPERATING, operated

REPOSITORY = Path(__file__).resolve().parents[2]
RUNBOOKS = REPOSITORY / "docs" / "runbooks"
PAGES = sorted(RUNBOOKS.glob("*.md"))
#: Pages of which every command should be right at once, too.
WITH_COMMANDS = (*PAGES, REPOSITORY / "docs" / "how-to" / "disaster-recovery.md")

#: Options of the AWS command line itself.
_GLOBAL_OPTIONS = {"query", "output", "region", "profile", "max-items"}


@pytest.mark.parametrize("policy", TOPOLOGY.alarms, ids=lambda policy: policy.name)
def test_every_alarm_s_runbook_exists(policy: object) -> None:
    assert (RUNBOOKS / str(getattr(policy, "runbook"))).is_file()  # noqa: B009 — ids need the object


def test_every_runbook_is_some_alarm_s() -> None:
    assert {page.name for page in PAGES} == {policy.runbook for policy in TOPOLOGY.alarms}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_runbook_answers_in_the_same_order(page: Path) -> None:
    assert re.findall(r"^## (.+)$", page.read_text(), re.MULTILINE) == ["What it means", "Look first", "Repair", "Over when", "Escalate"]


def _commands(page: Path) -> list[str]:
    """Every ``aws …`` in the page's shell snippets, those inside ``$(…)`` too."""
    snippets = re.findall(r"```sh\n(.*?)```", page.read_text(), re.DOTALL)
    return [match for snippet in snippets for match in re.findall(r"\baws (?:[^\n()]|\\\n)+", snippet)]


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=lambda page: page.stem)
def test_aws_knows_every_command_and_option(page: Path) -> None:
    session = boto3.session.Session(region_name="eu-central-1", aws_access_key_id="x", aws_secret_access_key="x")
    commands = _commands(page)
    assert commands

    for command in commands:
        _, service, operation, *_ = command.split()
        model = session.client(service).meta.service_model
        operations = {xform_name(name, "-"): name for name in model.operation_names}
        assert operation in operations, command
        members = model.operation_model(operations[operation]).input_shape.members
        switches = {f"no-{xform_name(name, '-')}" for name, member in members.items() if member.type_name == "boolean"}
        options = {xform_name(name, "-") for name in members} | switches | _GLOBAL_OPTIONS
        assert set(re.findall(r"--([a-z0-9-]+)", command)) <= options, command


# -- commands in a deployed stage -------------------------------------------------------------------------------------
@pytest.mark.parametrize("page", OPERATING, ids=lambda page: page.stem)
def test_every_command_for_a_deployed_stage_is_understood_and_taken(page: Path) -> None:
    commands = list(operated(page))
    assert commands

    for arguments in commands:
        order = read_order(arguments)
        if order.follow:
            continue
        assert refusal_of(order.command) == "", arguments
        name, *rest = order.command
        options = load_command_class(get_commands()[name], name).create_parser("scripts/operate", name).parse_args(rest)
        if name == "celery":
            _check_celery(options.arguments)
        if getattr(options, "command", None):
            compile(options.command, str(page), "exec")


def _check_celery(arguments: list[str]) -> None:
    """Our workers know what they are told or asked."""
    action, *rest = arguments
    assert action in celery.commands, arguments
    if action in ("inspect", "control"):
        words = iter(rest)
        told = next(word for word in words if not (word.startswith("--") and next(words)))
        assert Panel.meta[told].type == action, arguments


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=lambda page: page.stem)
def test_a_runbook_wants_no_shell_in_a_container(page: Path) -> None:
    assert not re.findall(r"app\.manage|app\.config|scripts/manage", page.read_text())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", page.read_text()):
        assert (page.parent / target).exists(), target
