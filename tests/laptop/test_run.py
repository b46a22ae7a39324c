"""The supervisor under ``scripts/run``, with small services of its own: ``python -m tests.laptop.test_run <var> <scenario>``."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import psutil
import pytest

from app.topology import TOPOLOGY, PulseHealth, ServicePolicy
from scripts.laptop.backing import Backing
from scripts.laptop.environment import Addresses, Database, Secrets, application_environment, bare_environment
from scripts.laptop.last_words import last_words
from scripts.laptop.manage import SessionAbsent, session_environment
from scripts.laptop.ports import Ports, PortTaken
from scripts.laptop.record import ProcessMark, RunRecord
from scripts.laptop.services import Services
from scripts.laptop.session import Session, run_session
from scripts.laptop.terminal import Terminal
from tests.support.environment import free_port
from tests.support.eventually import eventually

REPOSITORY = Path(__file__).resolve().parents[2]
ADDRESS = "http://127.0.0.1:8999"

_PULSE = "import os, pathlib, signal, subprocess, sys, time; beat = pathlib.Path(os.environ['PULSE_DIRECTORY'], os.environ['SERVICE'] + '.pulse'); "
_STAYS = _PULSE + "beat.touch(); time.sleep(60)"
_HAS_A_CHILD = _PULSE + "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']); beat.touch(); time.sleep(60)"
_IS_DEAF = _PULSE + "signal.signal(signal.SIGTERM, signal.SIG_IGN); beat.touch(); time.sleep(60)"
_NEVER_READY = _PULSE + "time.sleep(60)"
_CRASHES = _PULSE + "print('the printer is on fire', flush=True); sys.exit(3)"
_CRASHES_LATER = _PULSE + "beat.touch(); time.sleep(0.3); print('the printer is on fire', flush=True); sys.exit(3)"
_CRASHES_ONCE = (
    _PULSE + "first = beat.with_suffix('.first'); again = first.exists(); first.touch(); again or sys.exit(4); beat.touch(); time.sleep(60)"
)

SCENARIOS: dict[str, dict[str, str]] = {
    "stays": {"shop": _STAYS, "till": _HAS_A_CHILD},
    "never-ready": {"shop": _STAYS, "till": _NEVER_READY},
    "deaf": {"shop": _IS_DEAF, "till": _HAS_A_CHILD},
    "crashes": {"shop": _STAYS, "till": _CRASHES},
    "crashes-once": {"shop": _STAYS, "till": _CRASHES_ONCE},
    "crashes-later": {"shop": _STAYS, "till": _CRASHES_LATER},
}


def run_scenario(var: Path, scenario: str, *, is_patient: bool) -> int:
    policies = [
        ServicePolicy(name=name, purpose="a test", command=("python", "-c", code), health=PulseHealth())
        for name, code in SCENARIOS[scenario].items()
    ]

    def work(session: Session) -> int:
        session.record.address = ADDRESS
        services = Services(
            session,
            policies,
            environment=bare_environment() | {"PULSE_DIRECTORY": str(var / "pulse")},
            web=ADDRESS,
            repository=REPOSITORY,
            is_patient=is_patient,
            now=lambda: time.monotonic() * 4,  # pauses between restarts pass quickly, and a minute is still long enough for five of them
        )
        services.start()
        services.wait_until_healthy()
        session.terminal.say("all healthy")
        while True:
            session.look()
            time.sleep(0.02)

    return run_session(var, Terminal(), work)


def run_backing(var: Path) -> int:
    """What stands in for AWS, RDS and Stripe, without services."""

    def work(session: Session) -> int:
        ports = Ports(var / "ports.json")
        Secrets.kept_in(var / "secrets.json")
        backing = Backing(
            session,
            Addresses(
                web_port=ports.claim("web"),
                aws_port=ports.claim("aws"),
                gateway_port=ports.claim("gateway"),
                partner_port=ports.claim("partner"),
            ),
            REPOSITORY,
        )
        backing.start()
        backing.database()
        backing.wait_until_provisioned()
        session.terminal.say("all there")
        while True:
            session.look()
            time.sleep(0.02)

    return run_session(var, Terminal(), work)


class Run:
    """A session in a process of its own, like the one in somebody's terminal."""

    def __init__(self, var: Path, scenario: str, mode: str) -> None:
        self.var = var
        self._output = var.with_suffix(".out")
        with self._output.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.laptop.test_run", str(var), scenario, mode],
                cwd=REPOSITORY,
                stdout=output,
                stderr=output,
                process_group=0,
            )

    def output(self) -> str:
        return self._output.read_text()

    def says(self, words: str) -> None:
        eventually(self.output, lambda text: words in text, within=30)

    def descendants(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def exit_status(self, within: timedelta = timedelta(seconds=10)) -> int:
        return self.process.wait(within.total_seconds())


Start = Callable[..., Run]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    runs: list[Run] = []
    everybody: set[psutil.Process] = set()

    def start_run(scenario: str, mode: str = "patient", var: str = "var") -> Run:
        runs.append(Run(tmp_path / var, scenario, mode))
        return runs[-1]

    yield start_run
    for run in runs:
        if run.process.poll() is None:
            everybody |= set(run.descendants())
            run.process.kill()
            run.process.wait()
    for process in everybody:
        if process.is_running():
            process.kill()


def alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    return [process for process in processes if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]


def test_a_crash_is_shown_with_its_exit_code_and_last_words(start: Start) -> None:
    run = start("crashes", mode="once")

    assert run.exit_status() == 1
    assert "till ended with exit code 3" in run.output()
    assert "the printer is on fire" in run.output()
    assert not (run.var / "run.json").exists()


def test_a_crash_after_everything_was_healthy_ends_a_run_that_is_not_patient(start: Start) -> None:
    run = start("crashes-later", mode="once")

    assert run.exit_status() == 1
    assert "all healthy" in run.output()
    assert "the printer is on fire" in run.output()


def test_a_crashed_service_starts_again(start: Start) -> None:
    run = start("crashes-once")

    run.says("all healthy")

    assert "till ended with exit code 4" in run.output()
    assert "Starting till again." in run.output()


def test_a_service_that_keeps_crashing_is_given_up_and_the_others_go_on(start: Start) -> None:
    run = start("crashes-later")

    run.says("Gave till up: 5 crashes within a minute.")

    assert run.process.poll() is None
    assert "shop" in json.loads((run.var / "run.json").read_text())["groups"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_leaves_no_process(start: Start, number: signal.Signals) -> None:
    run = start("stays")
    run.says("all healthy")
    descendants = run.descendants()
    assert len(descendants) == 4  # two services, one's child, the guardian

    run.process.send_signal(number)

    assert run.exit_status() == 128 + number
    assert alive(descendants) == []


def test_ctrl_c_during_the_start_leaves_no_process(start: Start) -> None:
    run = start("never-ready")
    eventually(run.descendants, lambda found: len(found) == 3)
    descendants = run.descendants()

    run.process.send_signal(signal.SIGINT)

    assert run.exit_status() == 130
    assert alive(descendants) == []


def test_ctrl_c_twice_to_the_whole_group_ends_even_a_deaf_service_within_five_seconds(start: Start) -> None:
    run = start("deaf")
    run.says("all healthy")
    descendants = run.descendants()

    os.killpg(run.process.pid, signal.SIGINT)
    time.sleep(0.3)
    os.killpg(run.process.pid, signal.SIGINT)

    assert run.exit_status(timedelta(seconds=5)) == 130
    assert alive(descendants) == []


def test_a_second_session_is_refused_with_the_first_ones_pid_and_address(start: Start) -> None:
    first = start("stays")
    first.says("all healthy")

    second = start("stays")

    assert second.exit_status() == 1
    second.says(f"The platform already runs in this clone: process {first.process.pid}, at {ADDRESS}.")
    assert first.process.poll() is None


def test_a_session_in_another_clone_is_welcome(start: Start) -> None:
    start("stays").says("all healthy")

    start("stays", var="other").says("all healthy")


def test_a_killed_session_leaves_no_process(start: Start) -> None:
    run = start("deaf")
    run.says("all healthy")
    descendants = run.descendants()

    run.process.kill()

    eventually(lambda: alive(descendants), [], within=5)


def test_what_outlived_even_the_guardian_is_ended_by_the_next_session(start: Start) -> None:
    killed = start("stays")
    killed.says("all healthy")
    services = {mark["pid"] for mark in json.loads((killed.var / "run.json").read_text())["groups"].values()}
    descendants = killed.descendants()
    guardian = next(process for process in descendants if process.ppid() == killed.process.pid and process.pid not in services)
    guardian.kill()
    killed.process.kill()
    killed.process.wait()
    eventually(lambda: len(alive(descendants)), 3)

    start("never-ready")

    eventually(lambda: alive(descendants), [])


def test_a_stranger_with_a_recorded_pid_is_left_alone(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True) as stranger:
        mark = ProcessMark.of(stranger.pid)
        record = RunRecord(path=tmp_path / "run.json", session=mark, groups={"till": ProcessMark(pid=mark.pid, created=mark.created - 60)})
        record.write()

        read = RunRecord.read(record.path)
        assert read == record
        read.end_everything(timedelta(seconds=1))

        assert stranger.poll() is None
        stranger.kill()


def test_a_command_gets_the_environment_of_the_running_session_until_its_database_dies(start: Start) -> None:
    run = start("backing")
    eventually(run.output, lambda text: "all there" in text, within=60)

    environment = session_environment(run.var)
    migrations = [sys.executable, "-m", "app.manage", "showmigrations", "api"]
    asked = subprocess.run(migrations, env=environment, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert asked.returncode == 0, asked.stderr
    assert "[ ] 0001_tokens_and_answers" in asked.stdout

    postmaster = int((run.var / "postgres" / "cluster" / "postmaster.pid").read_text().splitlines()[0])
    os.kill(postmaster, signal.SIGKILL)

    assert run.exit_status() == 1
    assert "PostgreSQL was ended by SIGKILL; nothing works without it." in run.output()
    with pytest.raises(SessionAbsent, match="Start scripts/run"):
        session_environment(run.var)


def test_last_words_are_readable_and_without_metrics(tmp_path: Path) -> None:
    log = tmp_path / "till.log"
    events = [
        {"level": "ERROR", "message": "till jammed", "at": "09:00", "reason": "a coin"},
        {"_aws": {}, "TaskRuns": [1.0]},
        {"level": "ERROR", "message": "till lost", "at": "09:01", "exc_info": "Traceback:\n  File …\nOSError: gone"},
    ]
    log.write_text("\n".join([*map(json.dumps, events), "the printer is on fire"]))

    assert last_words(log).splitlines() == [
        "    09:00 ERROR till jammed: a coin",
        "    09:01 ERROR till lost: OSError: gone",
        "    the printer is on fire",
    ]


def test_ports_are_remembered_and_a_taken_one_is_refused_by_name(tmp_path: Path) -> None:
    port = free_port()
    memory = tmp_path / "ports.json"

    assert Ports(memory).claim("web", preferred=[port]) == port

    with pytest.raises(PortTaken, match=re.escape(str(port))):
        Ports(memory).claim_exactly("web", port)  # the first claim lasts as long as this process
    assert Ports(memory).claim("web") != port


def test_secrets_are_kept_and_a_file_of_an_earlier_version_gets_what_it_lacks(tmp_path: Path) -> None:
    first = Secrets.kept_in(tmp_path / "secrets.json")
    stored = json.loads((tmp_path / "secrets.json").read_text())
    del stored["partner_api_key"]
    (tmp_path / "secrets.json").write_text(json.dumps(stored))

    second = Secrets.kept_in(tmp_path / "secrets.json")
    assert (second.secret_key, second.stripe_api_key) == (first.secret_key, first.stripe_api_key)
    assert second.partner_api_key
    assert Secrets.kept_in(tmp_path / "secrets.json") == second


def test_every_required_variable_has_a_value_and_nothing_of_the_caller_gets_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "production")
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "somebody.elses")

    environment = application_environment(
        var=tmp_path,
        addresses=Addresses(web_port=1, aws_port=2, gateway_port=3, partner_port=4),
        database=Database(host="127.0.0.1", port=4, name="n", user="u", password="p"),
        own=Secrets.kept_in(tmp_path / "secrets.json"),
    )

    required = {variable.name for variable in TOPOLOGY.variables if variable.default is None}
    assert required <= set(environment)
    assert not {"AWS_PROFILE", "DJANGO_SETTINGS_MODULE"} & set(environment)
    assert (tmp_path / "secrets.json").stat().st_mode & 0o777 == 0o600


if __name__ == "__main__":
    # Whoever runs the tests under nohup hands its deafness on.
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    if sys.argv[2] == "backing":
        sys.exit(run_backing(Path(sys.argv[1])))
    sys.exit(run_scenario(Path(sys.argv[1]), sys.argv[2], is_patient=sys.argv[3] == "patient"))
