"""Copies of the project that may be broken."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.environment import REPOSITORY, environment

BIN = Path(sys.executable).parent
#: Many small files that no import and no check reads.
_LEFT_OUT = shutil.ignore_patterns("static", "cdk.out")


@dataclass
class Project:
    """A copy. ``change`` breaks it; ``run`` starts one of its commands."""

    root: Path

    def change(self, path: str, old: str, new: str) -> None:
        file = self.root / path
        source = file.read_text()
        assert old in source, f"{path} no longer holds {old!r}: this test changes nothing"
        file.write_text(source.replace(old, new, 1))

    def write(self, path: str, text: str) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def append(self, path: str, text: str) -> None:
        file = self.root / path
        file.write_text(file.read_text() + "\n" + text)

    def remove(self, path: str) -> None:
        shutil.rmtree(self.root / path)

    def run(self, program: str, *arguments: str, without: str | None = None) -> "subprocess.CompletedProcess[str]":
        """Run to the end in a complete environment, or one that lacks a variable."""
        values = {"PATH": f"{BIN}:{os.environ['PATH']}", "COLUMNS": "400", **environment()}
        values.pop(without or "", None)
        return subprocess.run(
            [str(BIN / program), *arguments], cwd=self.root, env=values, capture_output=True, text=True, check=False, timeout=60
        )


def _copied(destination: Path) -> Project:
    for folder in ("app", "infra"):
        shutil.copytree(REPOSITORY / folder, destination / folder, ignore=_LEFT_OUT)
    shutil.copy2(REPOSITORY / "pyproject.toml", destination)
    return Project(destination)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A copy for one test."""
    return _copied(tmp_path)


@pytest.fixture(scope="module")
def shared_project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A copy for the tests of a module, which leave it as they found it."""
    return _copied(tmp_path_factory.mktemp("project"))


@pytest.fixture
def broken(shared_project: Project) -> Iterator[Callable[[str, str], None]]:
    """``broken("app/engine/tasks.py", "import app.config")``: append to a module, or make it; undone after the test."""
    undo: list[Callable[[], object]] = []

    def breaking(path: str, line: str) -> None:
        file = shared_project.root / path
        if file.exists():
            before = file.read_text()
            undo.append(lambda: file.write_text(before))
            shared_project.append(path, line + "\n")
        else:
            new = next(parent for parent in (file, *file.parents) if parent.parent.exists())
            undo.append(lambda: shutil.rmtree(new) if new.is_dir() else new.unlink())
            shared_project.write(path, line + "\n")
            if new != file:
                (file.parent / "__init__.py").touch()

    yield breaking
    for one in reversed(undo):
        one()
