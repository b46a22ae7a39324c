"""Every service on a root file system that cannot be written to, with what ECS mounts: an empty /tmp, and a directory for pulses.

Without Docker: a mount namespace, in which the whole machine is read-only, sources and working directory included. What it cannot show is
the image's own user; inside of the namespace the process is root, and is refused all the same.
"""

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from app.topology import TOPOLOGY
from tests.integration.images.pictures import picture
from tests.integration.images.test_workers import upload
from tests.support.environment import REPOSITORY
from tests.support.eventually import eventually

pytestmark = pytest.mark.long
ROOM = Path(__file__).with_name("read_only_root.sh")
#: Each runs jobs of its own; the others are the same program with other names.
SERVICES = ("web", "worker-default", "worker-emails", "worker-cpu-intensive", "beat", "outbox-relay")


def _inside(directory: Path, pulses: Path, shared: Path) -> tuple[str, ...]:
    directory.mkdir(exist_ok=True)
    return ("unshare", "--map-root-user", "--mount", str(ROOM), str(directory), str(shared), str(pulses))


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """What makes a command a program on a read-only root."""
    if REPOSITORY.is_relative_to("/tmp"):  # noqa: S108 — where it lies
        pytest.skip("in the room /tmp is empty, and this clone lies there: try another one")
    directory = tmp_path_factory.mktemp("room")
    (directory / "pulses").mkdir()
    inside = _inside(directory / "root", directory / "pulses", tmp_path_factory.getbasetemp())
    tried = subprocess.run([*inside, "true"], capture_output=True, text=True, check=False, cwd=REPOSITORY)
    if tried.returncode:
        pytest.skip(f"this machine allows no mount namespaces: {tried.stderr.strip()}")
    return inside


def test_in_the_room_nothing_but_tmp_and_pulses_can_be_written_to(room: tuple[str, ...], tmp_path: Path) -> None:
    pulses = room[-1]

    def touch(path: str) -> str:
        return subprocess.run([*room, "touch", path], capture_output=True, text=True, check=False, cwd=REPOSITORY).stderr

    for path in (f"{REPOSITORY}/new", "/etc/new", "/run/new", f"{tmp_path}/new", str(Path.home() / "new")):
        assert "Read-only file system" in touch(path)
    assert touch("/tmp/new") == ""  # noqa: S108 — a file of its own /tmp
    assert touch(f"{pulses}/new") == ""
    assert not Path("/tmp/new").exists()  # noqa: S108 — and not of everybody's


@pytest.fixture(scope="module")
def shop(room: tuple[str, ...], _make_stack: Callable[[Path], Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    stack = _make_stack(tmp_path_factory.mktemp("read-only"))
    stack.inside = _inside(stack.directory / "root", stack.directory / "pulse", tmp_path_factory.getbasetemp())
    # As in the image: no bytecode is written, and the home directory is /tmp. Mail has no server here.
    stack.environment |= {"PYTHONDONTWRITEBYTECODE": "1", "HOME": "/tmp", "EMAIL_URL": "file:///tmp/mail"}  # noqa: S108 — the image's
    stack.start(*SERVICES)
    yield stack
    stack.stop()


def test_the_shop_works_on_a_read_only_root(shop: Any) -> None:
    payment = shop.pay()
    # Larger than what Django keeps in memory, so that it goes through a file.
    image = upload(shop, picture("PNG", (1200, 1200)) + bytes(3 * 1024 * 1024), "large.png")

    shop.await_state([payment], "captured", within=60)
    eventually(lambda: shop.request("GET", f"/api/images/{image}").body["state"], "ready", within=60)
    assert shop.request("GET", "/health/ready").status == 200


def test_every_service_goes_on_and_none_was_refused_a_file(shop: Any) -> None:
    began = time.time()
    pulses = Path(shop.environment["PULSE_DIRECTORY"])

    for service in shop.services:
        if service.name != "web":
            eventually((pulses / f"{service.name}.pulse").stat, lambda found: found.st_mtime > began, within=60)
        assert service.is_running, service.tail()
        assert "Read-only file system" not in service.log.read_text(), service.tail()
    assert {service.name for service in shop.services} <= {policy.name for policy in TOPOLOGY.services}
