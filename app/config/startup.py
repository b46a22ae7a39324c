"""No process starts in a project that is wrong: what commands do by themselves, the web service, workers and beat do here."""

from typing import Any

from django.core.checks import run_checks


def refuse_wrong_start(**_: Any) -> None:
    """Run the system checks; if one fails, end the process with what is wrong and what to do on stderr."""
    failures = [str(message) for message in run_checks() if message.is_serious()]
    if failures:
        # Not an exception: Celery runs the checks without a look at them, and logs what a receiver raises and goes on.
        raise SystemExit("This process does not start:\n" + "\n".join(failures))
