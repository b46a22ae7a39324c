"""The whole rehearsal, as a person runs it."""

import fcntl
import subprocess
from collections.abc import Iterator

import pytest

from tests.support.environment import REPOSITORY

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]


@pytest.fixture
def _one_at_a_time() -> Iterator[None]:
    """A clone has one rehearsal, and the suite several processes."""
    folder = REPOSITORY / "var"
    folder.mkdir(exist_ok=True)
    with (folder / "rehearsal-test.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


@pytest.mark.usefixtures("_one_at_a_time")
@pytest.mark.parametrize("stage", ["dev", "prod"])
def test_every_claim_of_the_rehearsal_holds(stage: str) -> None:
    done = subprocess.run(["scripts/rehearse", stage], cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=1700)

    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert "✗" not in done.stdout
    assert "All " in done.stdout
