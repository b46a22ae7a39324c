"""Whether a deployment answers, seen from outside."""

import time
import urllib.error
import urllib.request
from collections.abc import Callable
from datetime import timedelta
from http import HTTPStatus

#: That the process runs, and that its database and AWS are within its reach.
PATHS = ("/health/live", "/health/ready")
_ANSWER_WITHIN = timedelta(seconds=20)


def await_health(url: str, *, within: timedelta, pause: timedelta, tell: Callable[[str], None]) -> list[str]:
    """Ask until every path answers 200; what did not, in words, when the time is up."""
    deadline = time.monotonic() + within.total_seconds()
    while True:
        problems = [problem for path in PATHS if (problem := _problem(url + path))]
        if not problems or time.monotonic() > deadline:
            return problems
        tell(problems[0])
        time.sleep(pause.total_seconds())


def _problem(url: str) -> str:
    try:
        with urllib.request.urlopen(url, timeout=_ANSWER_WITHIN.total_seconds()) as answer:  # noqa: S310 — an output of our own stack
            return "" if answer.status == HTTPStatus.OK else f"{url} answers {answer.status}"
    except urllib.error.HTTPError as error:
        return f"{url} answers {error.code}"
    except OSError as error:
        return f"{url} does not answer: {error}"
