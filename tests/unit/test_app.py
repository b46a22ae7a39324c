"""What importing the application does."""

import subprocess
import sys

from tests.support.environment import REPOSITORY


def test_a_start_is_not_spent_looking_for_garbage() -> None:
    code = "import gc, app\nprint(gc.isenabled(), gc.get_threshold()[0])"
    told = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)

    assert told.stdout.split() == ["True", "10000"]
