"""The tutorial, followed word by word in a copy of the project."""

import re
import shlex
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.support.environment import REPOSITORY
from tests.support.eventually import eventually

TUTORIAL = REPOSITORY / "docs/tutorial/first-task.md"
_STEP = re.compile(r"(?:`(?P<path>[\w/.-]+)`[^`\n]*\n\n)?^```(?P<language>\w+)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)
SERVICES = ("worker-emails", "outbox-relay")


class Step(NamedTuple):
    path: str | None
    language: str
    code: str


def steps() -> list[Step]:
    return [Step(found["path"], found["language"], found["code"]) for found in _STEP.finditer(TUTORIAL.read_text())]


class Reader:
    """Who does what the page says, and looks whether the last command says what it should."""

    def __init__(self, stack: Any, root: Path) -> None:
        self._stack, self._root = stack, root
        self._said = ""
        self._commands: list[list[str]] = []

    def follow(self, step: Step) -> None:
        getattr(self, f"_{step.language}")(step)

    def _python(self, step: Step) -> None:
        assert step.path is not None
        file = self._root / step.path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(step.code)

    def _diff(self, step: Step) -> None:
        assert step.path is not None
        file = self._root / step.path
        old, new = ("\n".join(line[1:] for line in step.code.splitlines() if line.startswith(sign)) for sign in "-+")
        assert file.read_text().count(old) == 1, f"{step.path} no longer holds {old!r} once"
        file.write_text(file.read_text().replace(old, new))

    def _sh(self, step: Step) -> None:
        self._commands = [shlex.split(line) for line in step.code.splitlines()]
        for program, *arguments in self._commands:
            if program == "scripts/run":
                continue
            assert program == "scripts/manage"
            if arguments[0] == "shell" and not self._stack.services:
                # Where the page says to start it again.
                self._stack.start(*SERVICES)
            self._said = self._run(arguments)

    def _text(self, step: Step) -> None:
        """What the last command says, now or soon; the page has left out what differs."""
        expected = re.compile(".*".join(map(re.escape, step.code.strip().split("…"))), re.DOTALL)
        if not expected.search(self._said):
            *_, (_, *arguments) = self._commands
            eventually(lambda: expected.search(self._run(arguments)), within=60)

    def _run(self, arguments: list[str]) -> str:
        if arguments[-1] == "TASK_ID":
            listed = eventually(lambda: re.search(r"[0-9a-f-]{36}", self._run(["jobs", "--task", "library.remind"])), within=30)
            assert listed
            arguments = [*arguments[:-1], listed[0]]
        done = self._stack.manage(*arguments)
        assert done.returncode == 0 or arguments[0] == "job", done.stdout + done.stderr
        return str(done.stdout)


@pytest.fixture
def reader(stack: Any, tmp_path: Path) -> Reader:
    root = tmp_path / "clone"
    shutil.copytree(REPOSITORY / "app", root / "app", ignore=shutil.ignore_patterns("__pycache__"))
    stack.repository = root
    return Reader(stack, root)


@pytest.mark.long
def test_whoever_follows_the_tutorial_sees_what_it_says(reader: Reader, stack: Any) -> None:
    for step in steps():
        reader.follow(step)

    mails = stack.directory / "mail"
    eventually(
        lambda: sorted(re.findall(r"bring (\w+) back", "".join(file.read_text() for file in mails.iterdir()))), ["Emma", "Persuasion"]
    )
    assert eventually(lambda: "succeeded" in stack.manage("jobs", "--task", "library.remind").stdout, within=30)
