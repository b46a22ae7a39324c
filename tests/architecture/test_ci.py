"""One command is CI, here and there."""

import os

import pytest

from tests.support.environment import REPOSITORY


@pytest.mark.parametrize(
    ("file", "line"),
    [
        (".ci/run", "\n.ci/browser\nexec scripts/test\n"),
        (".ci/nightly", "\n.ci/browser\nexec scripts/test long "),
        (".github/workflows/ci.yml", "- run: .ci/run\n"),
        (".github/workflows/nightly.yml", "- run: .ci/nightly\n"),
        ("scripts/test", "nice -n 19 scripts/lint"),
        ("scripts/lint", ".venv/bin/lint-imports"),
    ],
)
def test_each_command_calls_the_next(file: str, line: str) -> None:
    assert line in (REPOSITORY / file).read_text()


@pytest.mark.parametrize(
    "script",
    [
        *(f".ci/{name}" for name in ("run", "nightly", "browser")),
        *(f"scripts/{name}" for name in ("run", "manage", "test", "lint", "bootstrap", "lock", "synth", "reference")),
    ],
)
def test_a_command_can_be_run(script: str) -> None:
    assert os.access(REPOSITORY / script, os.X_OK)
