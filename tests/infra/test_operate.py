"""scripts/operate against an ECS and a CloudWatch that are late, silent or gone: the command's output and exit status, and no more than that."""

import io
import json
import signal
from argparse import ArgumentParser, _SubParsersAction
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from django.core.management import get_commands, load_command_class

from app.topology.one_offs import OPERATOR
from scripts.cloud import operate
from scripts.cloud.caller import Caller, CallerUnknown, read_caller
from scripts.cloud.commands import REFUSALS, RESPONSIBLE, refusal_of, with_responsible
from scripts.cloud.one_off import BY, LONGEST_OVERRIDES
from scripts.cloud.operate import LOST, NOT_BEGUN, Operation

AT_ONCE = timedelta(0)
ADA = Caller(account="123456789012", arn="arn:aws:sts::123456789012:assumed-role/Operators/ada@example.com")
STREAM = ("/shop/operator", "operator/operator/7")


def refused(code: str, message: str, operation: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, operation)


class Ecs:
    """One task; ``looks``: what it is at each look, the last one for ever."""

    def __init__(self, *looks: dict[str, Any], status: str = "ACTIVE") -> None:
        self.started: dict[str, Any] = {}
        self.stopped: list[str] = []
        self.at_look: Callable[[int], None] = lambda _: None
        self._looks = list(looks) or [{"lastStatus": "RUNNING"}]
        self._status = status
        self._looked = 0

    def describe_services(self, **_: Any) -> dict[str, Any]:
        return {"services": [{"status": self._status, "networkConfiguration": {"awsvpcConfiguration": {"subnets": ["subnet-1"]}}}]}

    def run_task(self, **asked: Any) -> dict[str, Any]:
        self.started = asked
        return {"tasks": [{"taskArn": "arn:aws:ecs:eu-central-1:123456789012:task/shop/7"}], "failures": []}

    def describe_tasks(self, *, cluster: str, tasks: list[str]) -> dict[str, Any]:
        assert (cluster, tasks) == ("shop", ["7"])
        self._looked += 1
        self.at_look(self._looked)
        look = self._looks.pop(0) if len(self._looks) > 1 else self._looks[0]
        return {"tasks": [look] if look else []}

    def stop_task(self, *, reason: str, **_: Any) -> None:
        self.stopped.append(reason)


class Logs:
    """A stream to which lines are added; ``page``: how many events one answer holds."""

    class exceptions:  # noqa: N801 — as boto3 has it
        class ResourceNotFoundException(Exception):
            pass

    def __init__(self, *lines: Any, page: int = 10_000) -> None:
        self.lines: list[str] | None = [json.dumps(line) if isinstance(line, dict) else line for line in lines] or None
        self.asked = 0
        self._page = page

    def add(self, *lines: dict[str, Any]) -> None:
        self.lines = [*(self.lines or ()), *map(json.dumps, lines)]

    def get_log_events(
        self,
        *,
        logGroupName: str,  # noqa: N803 — as boto3 has it
        logStreamName: str,  # noqa: N803
        startFromHead: bool,  # noqa: N803
        nextToken: str = "0",  # noqa: N803
    ) -> dict[str, Any]:
        assert (logGroupName, logStreamName, startFromHead) == (*STREAM, True)
        self.asked += 1
        if self.lines is None:
            raise self.exceptions.ResourceNotFoundException
        begin = int(nextToken)
        some = self.lines[begin : begin + self._page]
        return {"events": [{"message": line} for line in some], "nextForwardToken": str(begin + len(some))}


def out(number: int, text: str) -> dict[str, Any]:
    return {"number": number, "stream": "stdout", "text": text}


def err(number: int, text: str) -> dict[str, Any]:
    return {"number": number, "stream": "stderr", "text": text}


def end(number: int, exit_code: int = 0) -> dict[str, Any]:
    return {"number": number, "exit_code": exit_code}


RUNS = {"lastStatus": "RUNNING", "containers": [{}]}
PULLS = {"lastStatus": "PENDING", "containers": [{}]}


def over(exit_code: int | None, reason: str = "Essential container in task exited") -> dict[str, Any]:
    container = {"name": "operator"} | ({} if exit_code is None else {"exitCode": exit_code})
    return {"lastStatus": "STOPPED", "stoppedReason": reason, "containers": [container]}


class Run:
    def __init__(self, ecs: Ecs, logs: Logs, *command: str, follow: str | None = None, lines_within: timedelta = AT_ONCE) -> None:
        out = io.BytesIO()
        operation = Operation(
            "scripts/operate",
            "prod",
            "shop",
            client={"ecs": ecs, "logs": logs}.__getitem__,
            caller=lambda: ADA,
            out=out,
            look_every=AT_ONCE,
            lines_within=lines_within,
        )
        self.status = operation.run(command or ([] if follow else ["workers"]), follow=follow)
        self.out = out.getvalue()


# -- output and exit status -------------------------------------------------------------------------------------------
def test_output_comes_as_it_was_and_nothing_else_on_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    logs = Logs("Init", out(0, "at,run_seconds\n1,"), err(1, "These are the latest 100.\n"), out(2, "2\n\n"), end(3))

    run = Run(Ecs(PULLS, RUNS), logs, "arrivals", "emails")

    assert (run.status, run.out) == (0, b"at,run_seconds\n1,2\n\n")
    told = capsys.readouterr()
    assert told.out == ""
    assert "These are the latest 100.\n" in told.err
    assert "Init\n" in told.err


@pytest.mark.parametrize("exit_code", [1, 3, 143])
def test_the_exit_status_is_the_command_s(exit_code: int) -> None:
    assert Run(Ecs(RUNS), Logs(end(0, exit_code))).status == exit_code


def test_long_output_is_read_page_by_page() -> None:
    lines = [out(number, f"{number}\n") for number in range(1000)]

    run = Run(Ecs(RUNS), Logs(*lines, end(1000), page=7))

    assert run.out.decode().split() == [str(number) for number in range(1000)]


def test_lines_that_come_after_the_task_has_stopped_are_waited_for() -> None:
    ecs, logs = Ecs(over(0)), Logs()
    ecs.at_look = lambda look: logs.add(*{2: [out(0, "late\n")], 4: [end(1)]}.get(look, ()))

    run = Run(ecs, logs, lines_within=timedelta(seconds=20))

    assert (run.status, run.out) == (0, b"late\n")


def test_lines_that_come_in_another_order_are_put_right() -> None:
    assert Run(Ecs(RUNS), Logs(out(1, "b"), out(0, "a"), end(3), out(2, "c"))).out == b"abc"


def test_lines_that_come_twice_are_shown_once() -> None:
    assert Run(Ecs(RUNS), Logs(out(0, "a"), out(1, "b"), out(0, "a"), out(1, "b"), end(2))).out == b"ab"


def test_a_task_that_ecs_does_not_know_yet_is_waited_for() -> None:
    ecs, logs = Ecs({}, {}, RUNS), Logs()
    ecs.at_look = lambda look: logs.add(*([end(0)] if look == 4 else []))

    assert Run(ecs, logs, lines_within=timedelta(seconds=20)).status == 0


# -- what goes wrong --------------------------------------------------------------------------------------------------
def test_a_task_that_never_began_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    run = Run(Ecs(PULLS, over(None, "CannotPullContainerError")), Logs(), lines_within=timedelta(minutes=5))

    assert run.status == LOST
    assert "The task never began: CannotPullContainerError" in capsys.readouterr().err


def test_a_command_that_was_killed_shows_what_it_said_and_where_the_rest_may_be(capsys: pytest.CaptureFixture[str]) -> None:
    run = Run(Ecs(RUNS, over(137, "OutOfMemoryError")), Logs(out(0, "begun\n")))

    assert (run.status, run.out) == (137, b"begun\n")
    told = capsys.readouterr().err
    assert "OutOfMemoryError" in told
    assert "log group /shop/operator, stream operator/operator/7" in told


def test_output_that_lacks_a_line_is_no_success(capsys: pytest.CaptureFixture[str]) -> None:
    run = Run(Ecs(over(0)), Logs(out(0, "a"), out(2, "c"), end(3)))

    assert (run.status, run.out) == (LOST, b"a")
    assert "lacks line 1 and maybe more" in capsys.readouterr().err


def test_without_the_stage_nothing_is_started(capsys: pytest.CaptureFixture[str]) -> None:
    ecs = Ecs(status="INACTIVE")

    assert Run(ecs, Logs()).status == NOT_BEGUN
    assert ecs.started == {}
    assert "Is shop deployed, in this region and account? See --name-prefix." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("ClusterNotFoundException", "No services run in the cluster shop."),
        ("ClientException", "scripts/deploy brings it"),
        ("AccessDeniedException", "not authorized"),
    ],
)
def test_what_ecs_refuses_is_said(code: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    ecs = Ecs()

    def refuse(**_: Any) -> Any:
        raise refused(code, "not authorized", "RunTask")

    ecs.run_task = refuse  # type: ignore[method-assign]

    assert Run(ecs, Logs()).status == NOT_BEGUN
    assert said in capsys.readouterr().err


def test_a_task_for_which_there_is_no_room_is_not_begun(capsys: pytest.CaptureFixture[str]) -> None:
    ecs = Ecs()
    ecs.run_task = lambda **_: {"tasks": [], "failures": [{"reason": "Capacity is unavailable"}]}  # type: ignore[method-assign]

    assert Run(ecs, Logs()).status == NOT_BEGUN
    assert "Capacity is unavailable" in capsys.readouterr().err


def test_a_task_that_is_lost_sight_of_goes_on_and_can_be_come_back_to(capsys: pytest.CaptureFixture[str]) -> None:
    ecs = Ecs()

    def lose(_: int) -> None:
        raise EndpointConnectionError(endpoint_url="https://ecs")

    ecs.at_look = lose

    assert Run(ecs, Logs()).status == LOST
    assert ecs.stopped == []
    assert "The task goes on. To come back to it: scripts/operate --name-prefix shop --follow 7 prod" in capsys.readouterr().err


def test_a_task_is_come_back_to_and_shown_from_its_beginning() -> None:
    ecs = Ecs({})

    run = Run(ecs, Logs(out(0, "a"), end(1, 4)), follow="7")

    assert (run.status, run.out) == (4, b"a")
    assert ecs.started == {}


def test_a_person_whom_aws_does_not_know_starts_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    class Nobody:
        region_name = "eu-central-1"

        def client(self, _: str) -> Any:
            return self

        def get_caller_identity(self) -> Any:
            raise refused("ExpiredToken", "The security token included in the request is expired", "GetCallerIdentity")

    with pytest.raises(CallerUnknown, match="aws sso login"):
        read_caller(Nobody())  # type: ignore[arg-type]


# -- Ctrl-C -----------------------------------------------------------------------------------------------------------
@pytest.fixture
def before() -> Iterator[Any]:
    handler = signal.getsignal(signal.SIGINT)
    yield handler
    assert signal.getsignal(signal.SIGINT) is handler


def test_ctrl_c_stops_the_task_which_may_finish_what_it_has_in_hand(before: Any) -> None:
    ecs, logs = Ecs(RUNS), Logs()

    def look(number: int) -> None:
        if number == 2:
            signal.raise_signal(signal.SIGINT)
        if number == 5:
            logs.add(out(0, "Stopped. The same command goes on from here.\n"), end(1, 1))

    ecs.at_look = look

    run = Run(ecs, logs)

    assert ecs.stopped == [f"scripts/operate: Ctrl-C by {ADA.name}"]
    assert (run.status, run.out) == (1, b"Stopped. The same command goes on from here.\n")


def test_a_second_ctrl_c_leaves_it(before: Any) -> None:
    ecs = Ecs(RUNS)
    ecs.at_look = lambda number: signal.raise_signal(signal.SIGINT) if number in (2, 4) else None

    assert Run(ecs, Logs()).status == 130
    assert len(ecs.stopped) == 1


def test_a_task_whose_output_nobody_reads_is_stopped() -> None:
    class Closed(io.BytesIO):
        def write(self, _: Any) -> int:
            raise BrokenPipeError

    ecs = Ecs(RUNS)
    clients = {"ecs": ecs, "logs": Logs(out(0, "a"))}
    operation = Operation(
        "scripts/operate", "prod", "shop", client=clients.__getitem__, caller=lambda: ADA, out=Closed(), look_every=AT_ONCE
    )

    assert operation.run(["jobs"]) == 141
    assert len(ecs.stopped) == 1


# -- what is asked of ECS ---------------------------------------------------------------------------------------------
def test_the_task_is_the_operator_s_with_the_arguments_as_they_are() -> None:
    ecs = Ecs()

    Run(ecs, Logs(end(0)), "celery", "call", "payments.check", "--kwargs", '{"text": "a \'b\' $HOME"}')

    assert ecs.started["taskDefinition"] == "shop-operator"
    (override,) = ecs.started["overrides"]["containerOverrides"]
    assert override == {
        "name": "operator",
        "command": [*OPERATOR.command, "celery", "call", "payments.check", "--kwargs", '{"text": "a \'b\' $HOME"}'],
    }
    assert ecs.started["networkConfiguration"] == {"awsvpcConfiguration": {"subnets": ["subnet-1"]}}


def test_it_is_noted_who_runs_it() -> None:
    ecs = Ecs()

    Run(ecs, Logs(end(0)))

    assert ecs.started["startedBy"] == "scripts/operate"
    assert ecs.started["tags"] == [{"key": BY, "value": "assumed-role/Operators/ada@example.com"}]


def test_a_command_that_ecs_would_not_take_is_not_sent(capsys: pytest.CaptureFixture[str]) -> None:
    ecs = Ecs()

    assert Run(ecs, Logs(), "shell", "--command", "x" * LONGEST_OVERRIDES).status == NOT_BEGUN
    assert ecs.started == {}
    assert "8,192 characters" in capsys.readouterr().err


# -- commands ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "command",
    [
        ["shell"],
        ["shell", "--verbosity", "2"],
        ["dbshell", "--", "-c", "select 1"],
        ["createsuperuser", "--username", "ada"],
        ["relay_outbox"],
        ["celery", "worker"],
        ["celery", "--quiet", "events"],
    ],
)
def test_what_wants_a_terminal_or_lasts_is_refused_with_a_reason(command: Sequence[str], capsys: pytest.CaptureFixture[str]) -> None:
    ecs = Ecs()

    assert Run(ecs, Logs(), *command).status == NOT_BEGUN
    assert ecs.started == {}
    assert "is not run here." in capsys.readouterr().err


@pytest.mark.parametrize(
    "command",
    [
        ["shell", "--command", "print(1)"],
        ["shell", "--command=print(1)"],
        ["shell", "-cprint(1)"],
        ["createsuperuser", "--noinput"],
        ["celery", "inspect", "active"],
        ["job", "shell"],
    ],
)
def test_others_are_not(command: Sequence[str]) -> None:
    assert refusal_of(command) == ""


def test_who_is_responsible_is_passed_on_unless_it_is_said() -> None:
    assert with_responsible(["dead_letters", "discard", "--all"], "ada") == ("dead_letters", "discard", "--all", "--by", "ada")
    assert with_responsible(["sagas", "resume", "1", "--by=bob"], "ada") == ("sagas", "resume", "1", "--by=bob")
    assert with_responsible(["workers"], "ada") == ("workers",)


def _actions(parser: ArgumentParser) -> Iterator[tuple[tuple[str, ...], ArgumentParser]]:
    yield (), parser
    for action in parser._actions:
        if isinstance(action, _SubParsersAction):
            for name, below in action.choices.items():
                yield (name,), below


def test_every_command_that_asks_who_is_responsible_is_told() -> None:
    ours = {name: app for name, app in get_commands().items() if str(app).startswith("app.")}
    asking = {
        (name, *action)
        for name, app in ours.items()
        for action, parser in _actions(load_command_class(app, name).create_parser("manage", name))
        if "--by" in parser._option_string_actions
    }

    assert asking == RESPONSIBLE


def test_every_refused_command_exists() -> None:
    assert {words[0] for words in REFUSALS} <= set(get_commands())


# -- the command line -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["prod"], "expected a COMMAND, or --follow and none"),
        (["--follow", "7", "prod", "workers"], "expected a COMMAND, or --follow and none"),
        (["prod", "--name-prefix", "acme", "workers"], "options of scripts/operate come before STAGE"),
        (["staging", "workers"], "invalid choice: 'staging'"),
    ],
)
def test_an_order_that_is_not_understood_is_refused(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        operate.main(arguments)

    assert ended.value.code == NOT_BEGUN
    assert said in capsys.readouterr().err


def test_options_after_the_stage_are_the_command_s(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    class Noted:
        def __init__(self, _: str, *where: str) -> None:
            asked.extend(where)

        def run(self, command: Sequence[str], *, follow: str | None) -> int:
            asked.extend((command, follow))
            return 0

    monkeypatch.setattr(operate, "Operation", Noted)

    assert operate.main(["--name-prefix", "acme", "prod", "jobs", "--limit", "5", "--json"]) == 0
    assert asked == ["prod", "acme", ["jobs", "--limit", "5", "--json"], None]


@pytest.mark.parametrize("script", ["operate", "redrive"])
def test_the_script_writes_nothing_of_its_own_to_standard_output(script: str) -> None:
    text = (Path(__file__).parents[2] / "scripts" / script).read_text()

    assert "scripts/bootstrap test >&2\n" in text
