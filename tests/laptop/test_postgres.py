"""The laptop's PostgreSQL."""

import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import psycopg
import pytest

from scripts.laptop.postgres import Postgres, PostgresFailed
from tests.support.eventually import eventually

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cluster that has been created and stopped, deeper down than a unix socket's name may be long."""
    path = tmp_path_factory.mktemp("postgres").joinpath(*["a-rather-long-directory-name"] * 6)
    began = time.monotonic()
    with Postgres(path):
        assert time.monotonic() - began < 6
    return path


@pytest.fixture
def server(data: Path) -> Iterator[Postgres]:
    with Postgres(data) as server:
        yield server


def servers_of(data: Path) -> list[int]:
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess):
            if process.name() == "postgres" and Path(process.cwd()) == data / "cluster":
                found.append(process.pid)
    return found


def test_it_starts_warm_in_a_moment_and_stops_without_leaving_a_process(data: Path) -> None:
    server = Postgres(data)
    began = time.monotonic()
    server.start()
    started = time.monotonic()
    with psycopg.connect(server.url):
        server.stop()
    assert started - began < 8
    assert time.monotonic() - started < 10
    assert servers_of(data) == []


def test_data_survives_a_restart(data: Path) -> None:
    with Postgres(data) as server, psycopg.connect(server.url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 'é' AS word")
    with Postgres(data) as server, psycopg.connect(server.url) as connection:
        assert connection.execute("SELECT word FROM kept").fetchone() == ("é",)


def test_it_is_durable_and_takes_two_hundred_connections(server: Postgres) -> None:
    with psycopg.connect(server.url) as connection:
        asked = "SELECT current_setting('fsync'), current_setting('synchronous_commit'), current_setting('max_connections')"
        assert connection.execute(asked).fetchone() == ("on", "on", "200")


def test_it_listens_on_loopback_only_and_asks_for_the_password(server: Postgres, data: Path) -> None:
    with psycopg.connect(server.url) as connection:
        assert connection.execute("SELECT current_setting('listen_addresses')").fetchone() == ("127.0.0.1",)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(host=server.host, port=server.port, user=server.user, password="guess", dbname=server.database)
    assert stat.S_IMODE((data / "password").stat().st_mode) == 0o600


def test_two_directories_run_two_servers(server: Postgres, tmp_path: Path) -> None:
    with Postgres(tmp_path / "other") as other:
        assert other.port != server.port
        for each in (server, other):
            with psycopg.connect(each.url) as connection:
                assert connection.execute("SELECT current_database()").fetchone() == (each.database,)


def test_a_directory_in_use_is_refused(server: Postgres, data: Path) -> None:
    with pytest.raises(PostgresFailed, match="Another process"):
        Postgres(data).start()
    with psycopg.connect(server.url):
        pass


@pytest.mark.parametrize("victims", ["everything", "the supervisor", "the postmaster"])
def test_committed_data_is_there_after_a_kill(data: Path, victims: str) -> None:
    with _supervised(data) as supervisor:
        assert supervisor.stdout is not None
        with psycopg.connect(supervisor.stdout.readline().strip(), autocommit=True) as connection:
            connection.execute("DROP TABLE IF EXISTS kept_after_kill")
            connection.execute("CREATE TABLE kept_after_kill AS SELECT 1 AS one")
            postmaster = int((data / "cluster" / "postmaster.pid").read_text().splitlines()[0])
            pids = servers_of(data)
            if victims != "the supervisor":
                for pid in pids if victims == "everything" else [postmaster]:
                    os.kill(pid, signal.SIGKILL)
            supervisor.kill()
    with Postgres(data) as server, psycopg.connect(server.url) as connection:
        assert connection.execute("SELECT one FROM kept_after_kill").fetchone() == (1,)
        eventually(lambda: set(pids) & set(servers_of(data)), set())


def _supervised(data: Path) -> subprocess.Popen[str]:
    program = (
        "import sys, time; from pathlib import Path; from scripts.laptop.postgres import Postgres; "
        "server = Postgres(Path(sys.argv[1])); server.start(); print(server.url, flush=True); time.sleep(600)"
    )
    return subprocess.Popen([sys.executable, "-c", program, str(data)], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)


def test_a_stale_pid_file_whose_pid_now_belongs_to_another_process_is_no_obstacle(data: Path) -> None:
    pid_file = data / "cluster" / "postmaster.pid"
    owner = pid_file.parent.stat()
    pid_file.write_text(f"{os.getpid()}\n{pid_file.parent}\n1700000000\n5432\n\n127.0.0.1\n 0 0\nready\n")
    os.chown(pid_file, owner.st_uid, owner.st_gid)
    with Postgres(data) as server, psycopg.connect(server.url):
        pass


def test_a_cluster_half_created_when_killed_is_created_anew(tmp_path: Path) -> None:
    (tmp_path / "cluster.new").mkdir()
    (tmp_path / "cluster.new" / "PG_VERSION").write_text("18\n")
    with Postgres(tmp_path) as server, psycopg.connect(server.url):
        pass


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    (tmp_path / "cluster").mkdir(mode=0o700)
    with pytest.raises(PostgresFailed, match="ended with status"):
        Postgres(tmp_path).start()
