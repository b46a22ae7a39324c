"""The whole rehearsal, as a person runs it."""

import subprocess

import pytest

from tests.support.environment import REPOSITORY

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]


@pytest.mark.parametrize("stage", ["dev", "prod"])
def test_every_claim_of_the_rehearsal_holds(stage: str) -> None:
    done = subprocess.run(["scripts/rehearse", stage], cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=1700)

    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert "✗" not in done.stdout
    assert "All " in done.stdout
