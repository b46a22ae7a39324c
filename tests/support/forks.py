"""Short programs in processes of their own that need not import and set up Django first: a second and a half of CPU for each."""

import contextlib
import gc
import json
import os
import signal
import socket
import subprocess
import sys
from tempfile import TemporaryFile

from tests.support.environment import REPOSITORY

#: Its control socket is given by number. Ends when that socket does.
_PROGRAM = "import sys\nfrom tests.support.forks import serve\ncode = serve(int(sys.argv[1]))\nexec(code, {'__name__': '__main__'})"
_COMMAND = "import sys\nsys.argv = {argv!r}\nfrom app.manage import main\nmain()"


class Forks:
    """A process that has set Django up in one environment. What it is told to run, a fork of it runs, to the end of its interpreter.

    The program of a fork finds Django's and Celery's modules imported, and no connection, thread or client made.
    """

    def __init__(self, environment: dict[str, str]) -> None:
        self.environment = dict(environment)
        self._control, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _PROGRAM, str(theirs.fileno())], cwd=REPOSITORY, env=environment, pass_fds=[theirs.fileno()]
            )

    def run(self, code: str, within: float) -> "subprocess.CompletedProcess[str]":
        """Run code to its end. Raises :class:`subprocess.TimeoutExpired`, as :func:`subprocess.run` does."""
        ours, theirs = socket.socketpair()
        with ours, TemporaryFile() as out, TemporaryFile() as err:
            with theirs:
                socket.send_fds(self._control, [b"!"], [theirs.fileno(), out.fileno(), err.fileno()])
            ours.settimeout(within)
            with ours.makefile("rw") as stream:
                try:
                    print(json.dumps(code), file=stream, flush=True)
                    pid = json.loads(stream.readline())
                except (ConnectionError, ValueError) as error:
                    raise AssertionError(
                        f"the process that forks has ended with status {self._process.wait(10)}; see its stderr"
                    ) from error
                try:
                    status = json.loads(stream.readline())
                except TimeoutError:
                    os.kill(pid, signal.SIGKILL)
                    raise subprocess.TimeoutExpired(code, within) from None
            out.seek(0)
            err.seek(0)
            return subprocess.CompletedProcess(code, status, out.read().decode(), err.read().decode())

    def command(self, arguments: tuple[str, ...], within: float) -> "subprocess.CompletedProcess[str]":
        """Run a management command to its end."""
        return self.run(_COMMAND.format(argv=["manage.py", *arguments]), within)

    def end(self) -> None:
        self._control.close()
        self._process.wait(10)


def serve(control: int) -> str:
    """Fork at each request; returns, in each fork, the code that it shall run."""
    from app.config.environment import use_settings

    use_settings()
    import django

    django.setup()
    gc.freeze()  # or each fork would copy all of it at its end, to collect it
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody asks how a waiter ended
    requests = socket.socket(fileno=control)
    while True:
        asked, files, *_ = socket.recv_fds(requests, 1, 3)
        if not asked:
            os._exit(0)
        if os.fork() == 0:
            break
        for number in files:
            os.close(number)
    requests.close()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    return _fork_once_more(*files)


def _fork_once_more(answers: int, out: int, err: int) -> str:
    """Return in the child; the parent waits for it, tells its status, and is gone."""
    stream = socket.socket(fileno=answers)
    with stream.makefile("rw") as told:
        code: str = json.loads(told.readline())
        if child := os.fork():
            print(child, file=told, flush=True)
            _, status = os.waitpid(child, 0)
            with contextlib.suppress(BrokenPipeError):
                print(os.waitstatus_to_exitcode(status), file=told, flush=True)
            os._exit(0)
    stream.close()
    os.dup2(out, 1)
    os.dup2(err, 2)
    os.close(out)
    os.close(err)
    return code
