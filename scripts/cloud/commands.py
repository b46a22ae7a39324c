"""What is known of Django's commands before they run in the cloud: those that cannot be run there, and those that ask who is responsible."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Refusal:
    """Why a command is not run."""

    reason: str
    unless: tuple[str, ...] = ()
    """Options with which it is."""

    def fits(self, command: Sequence[str]) -> bool:
        return not any(_is_option(word, option) for word in command for option in self.unless)


_TYPED = "It waits for what you type, and a task has no terminal."
_LASTING = "It runs until it is ended. Start more copies of its service: aws ecs update-service --desired-count, or service by service."

#: By how a command begins. Options do not count.
REFUSALS: Mapping[tuple[str, ...], Refusal] = {
    ("shell",): Refusal(reason=f"{_TYPED} Say what to run by --command.", unless=("-c", "--command")),
    ("dbshell",): Refusal(reason="The image has no psql. Ask the database by: shell --command 'from django.db import connection; …'"),
    ("createsuperuser",): Refusal(reason=f"{_TYPED} Add --noinput.", unless=("--noinput", "--no-input")),
    ("changepassword",): Refusal(reason=f"{_TYPED} Change it in the admin."),
    ("runserver",): Refusal(reason=_LASTING),
    ("relay_outbox",): Refusal(reason=_LASTING),
    ("celery", "worker"): Refusal(reason=_LASTING),
    ("celery", "beat"): Refusal(reason=_LASTING),
    ("celery", "events"): Refusal(reason="It draws on a terminal, and a task has none. Workers send no events either: see `workers`."),
    ("celery", "shell"): Refusal(reason=f"{_TYPED} Use: shell --command"),
}

#: Which take --by.
RESPONSIBLE = frozenset({("dead_letters", "redrive"), ("dead_letters", "discard"), ("sagas", "resume")})


def refusal_of(command: Sequence[str]) -> str:
    """Why this command cannot be run there; nothing if it can."""
    words = _words(command)
    for length in (1, 2):
        refusal = REFUSALS.get(words[:length])
        if refusal is not None and refusal.fits(command):
            return f"{' '.join(words[:length])} is not run here. {refusal.reason}"
    return ""


def with_responsible(command: Sequence[str], by: str) -> tuple[str, ...]:
    """The command, and who is responsible if it takes that and does not say it."""
    if _words(command)[:2] not in RESPONSIBLE or any(_is_option(word, "--by") for word in command):
        return tuple(command)
    return (*command, "--by", by)


def _words(command: Sequence[str]) -> tuple[str, ...]:
    return tuple(word for word in command if not word.startswith("-"))


def _is_option(word: str, option: str) -> bool:
    """Also with its value in the same word: ``--by=ada``, ``-cprint(1)``."""
    return word == option or word.startswith(f"{option}=" if option.startswith("--") else option)
