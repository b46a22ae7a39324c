"""What importing costs. For ``infra.app`` see tests/infra/test_app.py."""

import subprocess
import sys

from tests.support.environment import REPOSITORY

_PROGRAM = """
import sys
import app.topology
loaded = {name.partition(".")[0] for name in sys.modules}
print(*sorted(name for name in loaded - set(sys.stdlib_module_names) if not name.startswith(("_", "app"))))
"""


def test_the_topology_needs_nothing_but_the_standard_library() -> None:
    done = subprocess.run([sys.executable, "-S", "-c", _PROGRAM], cwd=REPOSITORY, capture_output=True, text=True, check=True)

    assert done.stdout.split() == []
